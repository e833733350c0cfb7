//! What the headers of tus say.

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::answer::Refusal;
use crate::entity::unfinished_upload::Model;
use crate::uploads;

/// The version that is spoken here.
pub(super) const VERSION: &str = "1.0.0";
/// What a body of bytes is called.
const MEDIA_TYPE: &str = "application/offset+octet-stream";

macro_rules! names {
    ($($name:ident = $text:literal;)*) => {
        $(pub(in crate::server) const $name: HeaderName = HeaderName::from_static($text);)*
    };
}

names! {
    TUS_RESUMABLE = "tus-resumable";
    TUS_VERSION = "tus-version";
    TUS_EXTENSION = "tus-extension";
    TUS_MAX_SIZE = "tus-max-size";
    TUS_CHECKSUM_ALGORITHM = "tus-checksum-algorithm";
    UPLOAD_OFFSET = "upload-offset";
    UPLOAD_LENGTH = "upload-length";
    UPLOAD_DEFER_LENGTH = "upload-defer-length";
    UPLOAD_METADATA = "upload-metadata";
    UPLOAD_CHECKSUM = "upload-checksum";
    UPLOAD_EXPIRES = "upload-expires";
    METHOD_OVERRIDE = "x-http-method-override";
}

pub(super) fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match text(headers, &TUS_RESUMABLE)? {
        Some(VERSION) => Ok(()),
        _ => Err(Refusal::version()),
    }
}

/// The method that is meant. Some clients and proxies know only GET and POST.
pub(super) fn method(headers: &HeaderMap, method: &Method) -> Result<Method, Refusal> {
    let Some(meant) = text(headers, &METHOD_OVERRIDE)? else { return Ok(method.clone()) };
    Method::from_bytes(meant.to_ascii_uppercase().as_bytes())
        .map_err(|_| Refusal::bad("X-HTTP-Method-Override is not a method."))
}

pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    match text(headers, &header::CONTENT_TYPE)? {
        Some(MEDIA_TYPE) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send the bytes with Content-Type: application/offset+octet-stream.",
        )),
    }
}

/// The length of a new upload; `None` if it is to be told later.
pub(super) fn new_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    match (length(headers)?, text(headers, &UPLOAD_DEFER_LENGTH)?) {
        (Some(length), None) => Ok(Some(length)),
        (None, Some("1")) => Ok(None),
        _ => Err(Refusal::bad("Send either Upload-Length, in bytes, or Upload-Defer-Length: 1.")),
    }
}

pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    number(headers, &UPLOAD_LENGTH)
}

pub(super) fn offset(headers: &HeaderMap) -> Result<u64, Refusal> {
    number(headers, &UPLOAD_OFFSET)?.ok_or_else(|| Refusal::bad("Upload-Offset is missing."))
}

pub(super) fn check_offset(upload: &Model, offset: u64) -> Result<(), Refusal> {
    if uploads::received(upload) == offset { Ok(()) } else { Err(uploads::Refused::Moved.into()) }
}

pub(super) fn metadata(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let metadata = text(headers, &UPLOAD_METADATA)?.filter(|metadata| !metadata.is_empty());
    if metadata.is_some_and(|metadata| !uploads::is_sound(metadata)) {
        let message = "Upload-Metadata must be pairs of a key and a value in base64, 4096 bytes at most.";
        return Err(Refusal::bad(message));
    }
    Ok(metadata.map(Into::into))
}

/// What the body says of its length, if it does.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Digits only: what else Rust reads as a number, a plus sign, is none of the protocol's.
fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Refusal> {
    let Some(value) = text(headers, name)? else { return Ok(None) };
    let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    // The rows hold signed numbers.
    let number =
        digits.and_then(|digits| digits.parse::<i64>().ok()).and_then(|number| number.try_into().ok());
    number.map(Some).ok_or_else(|| Refusal::bad(format!("{name} must be a whole number of bytes.")))
}

/// A header that is there at most once.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let malformed = || Refusal::bad(format!("{name} must be there once, in ASCII."));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.trim())).map_err(|_| malformed()),
        _ => Err(malformed()),
    }
}

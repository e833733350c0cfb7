//! Answers to whoever wants a file.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use unicode_normalization::UnicodeNormalization;

use super::range::Wanted;
use crate::auth::presence::Attendance;
use crate::entity::export_job::Status;
use crate::error::Error;
use crate::server::reply::Refusal;
use crate::storage::Bytestream;

pub(super) const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD");
/// Codes that GraphQL's transports have no use for.
pub(super) const FORBIDDEN: &str = "FORBIDDEN";
const NOT_FOUND: &str = "NOT_FOUND";
const INVALID_STATE: &str = "INVALID_STATE";
/// The digest of the whole file (RFC 9530).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A file that somebody may have.
pub(super) struct Served<'a> {
    /// What it is called where it arrives.
    pub(super) name: &'a str,
    pub(super) media_type: &'static str,
    /// Its size.
    pub(super) bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub(super) sha256: &'a str,
}

impl Served<'_> {
    /// Names this version of the file.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.sha256)
    }

    /// The answer without the bytes.
    pub(super) fn head(&self, wanted: &Wanted, range: &Range<u64>) -> Response {
        self.answer(wanted, range, Body::empty())
    }

    /// The answer with the bytes, as far as the log-in lasts. One that ends early is seen to: it is shorter than it said.
    pub(super) fn body(
        &self,
        wanted: &Wanted,
        range: &Range<u64>,
        bytes: Bytestream,
        log_in: Option<Attendance>,
    ) -> Response {
        let cut =
            bytes.map(|piece| piece.inspect_err(|error| tracing::warn!(?error, "a download broke off")));
        let ended = async move {
            match log_in {
                Some(log_in) => log_in.ended().cancelled_owned().await,
                None => std::future::pending().await,
            }
        };
        let cut = cut.map(|piece| piece.map_err(std::io::Error::other)).take_until(Box::pin(ended));
        self.answer(wanted, range, Body::from_stream(cut))
    }

    fn answer(&self, wanted: &Wanted, range: &Range<u64>, body: Body) -> Response {
        let mut response = body.into_response();
        let headers = response.headers_mut();
        self.describe(headers);
        headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
        if matches!(wanted, Wanted::Part(_)) {
            let part = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), self.bytes);
            insert(headers, header::CONTENT_RANGE, &part);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }

    /// There is no such part.
    pub(super) fn unsatisfiable(&self) -> Response {
        let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", self.bytes));
        response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        response
    }

    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // Clinical data belongs in nobody's cache.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        insert(headers, header::CONTENT_DISPOSITION, &disposition(self.name));
        insert(headers, header::ETAG, &self.etag());
        if let Ok(digest) = hex::decode(self.sha256) {
            insert(headers, REPR_DIGEST, &format!("sha-256=:{}:", BASE64_STANDARD.encode(digest)));
        }
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A name for whoever saves the file (RFC 6266), of any script (RFC 8187); for those who read neither, as near as ASCII comes.
fn disposition(name: &str) -> String {
    let plain: String =
        name.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).map(ascii).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", encoded(name))
}

/// Quotes and backslashes would end or bend the quoted name, and a percent sign is decoded by some who should not.
fn ascii(c: char) -> char {
    if (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/')) || c == ' ' { c } else { '_' }
}

/// Percent-encoded, but for what RFC 8187 leaves as it is.
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    let encode = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(encode).collect()
}

pub(super) fn method_not_allowed() -> Refusal {
    Refusal::http(StatusCode::METHOD_NOT_ALLOWED, "Files are fetched with GET.")
}

/// There is no such job, or it is not the asker's; both read the same.
pub(super) fn missing() -> Refusal {
    let message = Error::NotFound("export").to_string();
    Refusal { code: NOT_FOUND, ..Refusal::http(StatusCode::NOT_FOUND, message) }
}

/// There was a file.
pub(super) fn gone() -> Refusal {
    let message = "This document has expired: files are kept for some days only. Ask for a new export.";
    Refusal { code: NOT_FOUND, ..Refusal::http(StatusCode::GONE, message) }
}

/// There is no file, yet or at all.
pub(super) fn no_file(status: Status) -> Refusal {
    let message = match status {
        Status::Failed => {
            "This document could not be made: exportJob { errorMessage } says why. Ask for a new export."
        }
        _ => {
            "This document is not finished yet. Follow it with exportJobUpdated, and fetch it when it is COMPLETED."
        }
    };
    Refusal { code: INVALID_STATE, ..Refusal::http(StatusCode::CONFLICT, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_survive_and_readers_of_ascii_get_something_like_it() {
        assert_eq!(
            disposition("Notes Zoë Müller.pdf"),
            "attachment; filename=\"Notes Zoe Muller.pdf\"; filename*=UTF-8''Notes%20Zo%C3%AB%20M%C3%BCller.pdf"
        );
        assert_eq!(disposition("李.pdf"), "attachment; filename=\"_.pdf\"; filename*=UTF-8''%E6%9D%8E.pdf");
    }

    #[test]
    fn nothing_in_a_name_ends_it_early_or_begins_another_header() {
        let header = disposition("a\"; x=\"b\\\r\nc%41/ü'*.pdf");
        assert!(HeaderValue::from_str(&header).is_ok());
        assert_eq!(
            header,
            "attachment; filename=\"a_; x=_b___c_41_u'*.pdf\"; filename*=UTF-8''a%22%3B%20x%3D%22b%5C%0D%0Ac%2541%2F%C3%BC%27%2A.pdf"
        );
    }
}

//! Download from the public model hub, resumed where it broke off.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::{Model, ModelError, Progress};

/// Where the authors of whisper.cpp publish the models.
pub(super) const PUBLIC: &str = "https://huggingface.co/ggerganov/whisper.cpp/resolve/main/";

/// Short, so that a machine behind a firewall gets to the next source soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which a connection counts as dead.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Completes `part`; whether it is the right file is the caller's to check. A broken connection is taken up again as
/// long as every one brings something.
pub(super) async fn download(
    hub: &str,
    model: &Model,
    part: &Path,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<(), ModelError> {
    let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let client = client.map_err(|error| ModelError::Unreachable(chain(&error)))?;
    let url = format!("{}/{}", hub.trim_end_matches('/'), model.file_name());
    let mut have = size_of(part).await?;
    while have != model.bytes {
        let response = ask(&client, &url, have).await?;
        let Some(error) = receive(response, model, part, have, progress).await? else {
            break;
        };
        let now = size_of(part).await?;
        if now <= have {
            return Err(ModelError::Unreachable(chain(&error)));
        }
        have = now;
    }
    Ok(())
}

/// Asks for the rest of the file, or, where the server has no such rest, for all of it.
async fn ask(client: &Client, url: &str, have: u64) -> Result<Response, ModelError> {
    let from = |start: u64| match start {
        0 => client.get(url),
        _ => client.get(url).header(RANGE, format!("bytes={start}-")),
    };
    let unreachable = |error: reqwest::Error| ModelError::Unreachable(chain(&error));
    let mut response = from(have).send().await.map_err(unreachable)?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        response = from(0).send().await.map_err(unreachable)?;
    }
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
        status => Err(ModelError::Refused { status: status.as_u16(), url: url.to_owned() }),
    }
}

/// Writes the answer behind what is there, or over it if the server sent the file from its start. Returns the
/// network error that ended it, if one did.
async fn receive(
    response: Response,
    model: &Model,
    part: &Path,
    have: u64,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<Option<reqwest::Error>, ModelError> {
    let mut done = if continues_at(&response, have) { have } else { 0 };
    let mut file = File::options().create(true).write(true).truncate(false).open(part).await?;
    file.set_len(done).await?;
    file.seek(SeekFrom::Start(done)).await?;
    let mut chunks = response.bytes_stream();
    let mut broken = None;
    while done <= model.bytes && broken.is_none() {
        match chunks.next().await {
            None => break,
            Some(Err(error)) => broken = Some(error),
            Some(Ok(chunk)) => {
                file.write_all(&chunk).await?;
                done += chunk.len() as u64;
                progress(Progress::Downloading { done, total: model.bytes });
            }
        }
    }
    file.sync_all().await?;
    Ok(broken)
}

fn continues_at(response: &Response, have: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

async fn size_of(path: &Path) -> Result<u64, ModelError> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The error with its causes: the outermost one alone says "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

//! Files by plain GET: `/exports/{id}/download`, for the holder of an access token or of a ticket (`auth::ticket`).
//!
//! Who asks is known, and the download is written down, before the first byte leaves. Bytes come out of the store piece by
//! piece, as fast as the client takes them; when the log-in ends, so does the download.

mod range;
mod reply;

use std::ops::Range;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};
use serde::Deserialize;
use uuid::Uuid;

use self::range::Wanted;
use self::reply::{Served, gone, missing, no_file};
use super::bearer::{Bearers, Visitor};
use super::http::{MediaType, refuse};
use super::reply::{Refusal, code};
use super::seam::RequestMeta;
use crate::actor::scope::Scope;
use crate::app::App;
use crate::audit::{self, Witness};
use crate::error::Error;
use crate::exports::jobs::{Download, download_path};
use crate::storage::Bytestream;

/// What the handlers need.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
    bearers: Arc<Bearers>,
}

/// What an address may carry.
#[derive(Deserialize)]
struct Signed {
    ticket: Option<String>,
}

/// The routes. Needs a [`RequestMeta`] in every request's extensions.
pub(super) fn routes(app: Arc<App>, bearers: Arc<Bearers>) -> Router {
    Router::new().route("/exports/{id}/download", any(export)).with_state(Door { app, bearers })
}

async fn export(
    State(door): State<Door>,
    Extension(meta): Extension<RequestMeta>,
    Path(id): Path<String>,
    Query(signed): Query<Signed>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let call = Call { door, meta, headers, ticket: signed.ticket, is_head: method == Method::HEAD };
    let result = match method {
        Method::GET | Method::HEAD => call.export(&id).await,
        _ => Err(reply::method_not_allowed()),
    };
    result.unwrap_or_else(|refusal| {
        let is_wrong_method = refusal.status == Some(StatusCode::METHOD_NOT_ALLOWED);
        let mut response = refuse(refusal, MediaType::Json, &call.meta.request_id);
        if is_wrong_method {
            response.headers_mut().insert(header::ALLOW, reply::ALLOWED);
        }
        response
    })
}

/// One request.
struct Call {
    door: Door,
    meta: RequestMeta,
    headers: HeaderMap,
    ticket: Option<String>,
    is_head: bool,
}

impl Call {
    async fn export(&self, id: &str) -> Result<Response, Refusal> {
        let (app, id) = (&self.door.app, Uuid::try_parse(id).ok());
        // An id that is none of ours is looked at as one that is nobody's.
        let path = download_path(id.unwrap_or_default());
        let visitor = self.visitor(&path, id).await?;
        let file = match app.exports.file(&visitor.actor, id.unwrap_or_default()).await {
            Ok(Download::Ready(file)) => file,
            Ok(Download::None(status)) => return Err(no_file(status)),
            Ok(Download::Expired) => return Err(gone()),
            Err(Error::NotFound(_)) => {
                self.record_refusal(&visitor, id).await?;
                return Err(missing());
            }
            Err(error) => return Err(refusal(error)),
        };
        let served = Served {
            name: &file.name,
            media_type: file.format.media_type(),
            bytes: file.bytes,
            sha256: &file.sha256,
        };
        let wanted = Wanted::of(&self.headers, file.bytes, &served.etag());
        let Some(range) = wanted.range(file.bytes) else { return Ok(served.unsatisfiable()) };
        if self.is_head {
            return Ok(served.head(&wanted, &range));
        }
        let bytes = self.read(&file.key, range.clone()).await?;
        // Of several requests for parts each is a download: one of them may be the one that mattered.
        app.exports.witness_download(&visitor.actor, &visitor.origin, &file).await.map_err(refusal)?;
        Ok(served.body(&wanted, &range, bytes, visitor.attendance))
    }

    /// The file may have gone since its row was read.
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytestream, Refusal> {
        self.door.app.storage.read(key, range).await.map_err(|error| match error {
            Error::NotFound(_) => gone(),
            error => refusal(error),
        })
    }

    /// Lets therapists in, by a ticket for this path or by their token, and counts the request.
    async fn visitor(&self, path: &str, id: Option<Uuid>) -> Result<Visitor, Refusal> {
        let bearers = &self.door.bearers;
        let visitor = match &self.ticket {
            Some(ticket) => bearers.ticket_holder(path, ticket, &self.meta).await,
            None => {
                let authorization = match self.headers.get(header::AUTHORIZATION) {
                    Some(value) => Some(value.to_str().map_err(|_| Refusal::unauthenticated())?),
                    None => None,
                };
                bearers.visitor(authorization, &self.meta).await
            }
        };
        let visitor = visitor.map_err(|refused| self.explained(refused.into()))?;
        bearers.count_download(&visitor, &self.meta).await?;
        if let Err(error) = visitor.actor.therapist_or(Scope::ExportsRead) {
            self.record_refusal(&visitor, id).await?;
            return Err(refusal(error));
        }
        Ok(visitor)
    }

    /// Whoever has a link has nowhere to log in: they need another link.
    fn explained(&self, refusal: Refusal) -> Refusal {
        if self.ticket.is_none() || refusal.code != code::UNAUTHENTICATED {
            return refusal;
        }
        let message = "This link is no longer good: it lasts 15 minutes, and no longer than the log-in it was made in. Ask for \
                       a new one, with exportJob { downloadUrl }.";
        Refusal { message: message.into(), ..refusal }
    }

    /// What is refused is written down before the answer leaves.
    async fn record_refusal(&self, visitor: &Visitor, id: Option<Uuid>) -> Result<(), Refusal> {
        let app = &self.door.app;
        let witness = Witness { actor: &visitor.actor, origin: &visitor.origin, at: app.clock.now() };
        let refused = audit::Refusal {
            operation: "download".into(),
            subject_type: "export_job".into(),
            subject_id: id,
        };
        let recorded = audit::record_answer(&app.db, witness, Vec::new(), vec![refused]).await;
        recorded.map_err(|error| refusal(error.into()))
    }
}

/// What a feature said, as an answer.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::Unauthenticated => Refusal::unauthenticated(),
        Error::Forbidden | Error::NotForKeys | Error::LacksScope(_) => {
            Refusal { code: reply::FORBIDDEN, ..Refusal::http(StatusCode::FORBIDDEN, message) }
        }
        Error::NotFound(_) => missing(),
        Error::Unavailable => Refusal::unavailable(),
        Error::Storage(cause) => {
            tracing::error!(error = ?cause, "the file store failed");
            Refusal { message, ..Refusal::unavailable() }
        }
        other => {
            tracing::error!(error = ?other, "a download met an internal error");
            Refusal::internal()
        }
    }
}

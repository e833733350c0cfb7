//! Resumable uploads by [tus 1.0](https://tus.io/protocols/resumable-upload): `/uploads` begins one, `/uploads/{id}` takes
//! its bytes, in as many requests as it takes; `uploadSession(input: {uploadId})` makes it a session.
//!
//! Who asks is known before the first byte of a body is read. A request that is refused gets its answer at once; what
//! the client goes on sending is read for a while and thrown away, or it might never see the answer.

mod answer;
mod checksum;
pub(super) mod headers;
mod intake;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::answer::Refusal;
use self::checksum::Checksum;
use self::intake::{Ended, Intake};
use super::bearer::{Bearers, Visitor};
use super::http;
use super::seam::RequestMeta;
use crate::actor::scope::Scope;
use crate::app::App;
use crate::audit::{self, Witness};
use crate::entity::unfinished_upload::Model;
use crate::error::Error;
use crate::uploads::{self, NewUpload, Refused, Turns};

/// How long somebody who writes to an upload may take to stop for the next one.
const GIVE_WAY: Duration = Duration::from_secs(10);
/// How long what nobody wants is read on.
const DRAIN: Duration = Duration::from_secs(5);

/// What the handlers need.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
    bearers: Arc<Bearers>,
    turns: Turns,
    /// Bodies go on being kept after their request: at shutdown these are waited for.
    tasks: TaskTracker,
}

/// The routes. Needs a [`RequestMeta`] in every request's extensions.
pub(super) fn routes(app: Arc<App>, bearers: Arc<Bearers>, tasks: TaskTracker) -> Router {
    let door = Door { app, bearers, turns: Turns::default(), tasks };
    Router::new()
        .route("/uploads", any(collection))
        .route("/uploads/", any(collection))
        .route("/uploads/{id}", any(upload))
        .with_state(door)
}

/// Tells on every OPTIONS what can be done here. Stands outside of CORS, which answers all of them.
pub(super) async fn tell_abilities(State(max_bytes): State<u64>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_asked =
        request.method() == Method::OPTIONS && (path == "/uploads" || path.starts_with("/uploads/"));
    let mut response = next.run(request).await;
    if is_asked {
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        answer::abilities(response.headers_mut(), max_bytes);
    }
    response
}

async fn collection(
    State(door): State<Door>,
    Extension(meta): Extension<RequestMeta>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let call = Call { door, meta, headers };
    let mut body = Some(body);
    let result = match call.method(&method) {
        Ok(Method::POST) => call.create(&mut body).await,
        Ok(_) => Err(Refusal::method_not_allowed("POST, OPTIONS")),
        Err(refusal) => Err(refusal),
    };
    call.respond(result, body)
}

async fn upload(
    State(door): State<Door>,
    Extension(meta): Extension<RequestMeta>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let call = Call { door, meta, headers };
    let mut body = Some(body);
    let result = match call.method(&method) {
        Ok(Method::HEAD) => call.tell(&id).await,
        Ok(Method::PATCH) => call.append(&id, &mut body).await,
        Ok(Method::DELETE) => call.terminate(&id).await,
        Ok(_) => Err(Refusal::method_not_allowed("HEAD, PATCH, DELETE, OPTIONS")),
        Err(refusal) => Err(refusal),
    };
    call.respond(result, body)
}

/// One request, but for its body.
struct Call {
    door: Door,
    meta: RequestMeta,
    headers: HeaderMap,
}

impl Call {
    /// What is asked for, some clients cannot say it otherwise; in the version of the protocol that we speak.
    fn method(&self, method: &Method) -> Result<Method, Refusal> {
        headers::check_version(&self.headers)?;
        headers::method(&self.headers, method)
    }

    /// Lets therapists in, and counts the request.
    async fn visitor(&self) -> Result<Visitor, Refusal> {
        let authorization = match self.headers.get(header::AUTHORIZATION) {
            Some(value) => Some(value.to_str().map_err(|_| Refusal::unauthenticated())?),
            None => None,
        };
        let visitor = self.door.bearers.visitor(authorization, &self.meta).await?;
        self.door.bearers.count_upload(&visitor, &self.meta).await?;
        if let Err(error) = visitor.actor.therapist_or(Scope::SessionsWrite) {
            self.record_refusal(&visitor, None).await?;
            return Err(error.into());
        }
        Ok(visitor)
    }

    /// What is refused is written down before the answer leaves.
    async fn record_refusal(&self, visitor: &Visitor, subject_id: Option<Uuid>) -> Result<(), Refusal> {
        let app = &self.door.app;
        let witness = Witness { actor: &visitor.actor, origin: &visitor.origin, at: app.clock.now() };
        let event = audit::Event {
            action: "refused.uploads",
            subject_type: "upload",
            subject_id,
            refused: true,
            ..Default::default()
        };
        Ok(audit::record(&app.db, witness, event).await.map_err(Error::from)?)
    }

    async fn create(&self, body: &mut Option<Body>) -> Result<Response, Refusal> {
        let visitor = self.visitor().await?;
        let new = NewUpload {
            length: headers::new_length(&self.headers)?,
            metadata: headers::metadata(&self.headers)?,
        };
        let has_body = body.as_ref().is_some_and(|body| !body.is_end_stream());
        let checksum = Checksum::of(&self.headers)?;
        if has_body {
            headers::check_media_type(&self.headers)?;
            self.check_length(new.length, 0)?;
        }
        let unfinished = &self.door.app.unfinished;
        let upload = unfinished.create(&visitor.actor, &visitor.origin, new).await?;
        if !has_body {
            return Ok(answer::created(&upload));
        }
        let ended = self.take(&visitor, &upload, checksum, body).await;
        if let Ok(Ended::Whole(upload) | Ended::Stalled(upload) | Ended::Stopping(upload)) = &ended {
            return Ok(answer::created_with(upload));
        }
        // The client never learns of the upload: nothing must be left of it.
        unfinished.refuse(&upload).await;
        ended?.answer()
    }

    async fn tell(&self, id: &str) -> Result<Response, Refusal> {
        let visitor = self.visitor().await?;
        let upload = self.find(&visitor, id).await?;
        // Whatever is still on its way is kept first, so that nobody has to send it again.
        let settled = tokio::time::timeout(GIVE_WAY, self.door.turns.settle(upload.id)).await;
        settled.map_err(|_| Refusal::locked())?;
        Ok(answer::state(&self.door.app.unfinished.find(&visitor.actor, upload.id).await?))
    }

    async fn append(&self, id: &str, body: &mut Option<Body>) -> Result<Response, Refusal> {
        let visitor = self.visitor().await?;
        headers::check_media_type(&self.headers)?;
        let offset = headers::offset(&self.headers)?;
        let checksum = Checksum::of(&self.headers)?;
        let length = headers::length(&self.headers)?;
        let mut upload = self.find(&visitor, id).await?;
        headers::check_offset(&upload, offset)?;
        if let Some(length) = length {
            upload = self.door.app.unfinished.declare_length(&upload, length).await?;
        }
        self.check_length(Some(uploads::reserved(&upload)), offset)?;
        self.take(&visitor, &upload, checksum, body).await?.answer()
    }

    async fn terminate(&self, id: &str) -> Result<Response, Refusal> {
        let visitor = self.visitor().await?;
        let upload = self.find(&visitor, id).await?;
        self.door.app.unfinished.terminate(&visitor.actor, &visitor.origin, &upload).await?;
        Ok(answer::terminated())
    }

    async fn find(&self, visitor: &Visitor, id: &str) -> Result<Model, Refusal> {
        let id = Uuid::try_parse(id).map_err(|_| Refused::NotFound)?;
        let found = self.door.app.unfinished.find(&visitor.actor, id).await;
        if matches!(found, Err(Refused::NotFound)) {
            self.record_refusal(visitor, Some(id)).await?;
        }
        Ok(found?)
    }

    /// Refuses a body that says itself that it does not fit.
    fn check_length(&self, room: Option<u64>, offset: u64) -> Result<(), Refusal> {
        match (headers::content_length(&self.headers), room) {
            (Some(length), Some(room)) if offset.saturating_add(length) > room => Err(Refusal::too_long()),
            _ => Ok(()),
        }
    }

    /// Takes a body in, in a task of its own: when the connection breaks the request ends where it stands, but what has
    /// arrived is kept.
    async fn take(
        &self,
        visitor: &Visitor,
        upload: &Model,
        checksum: Option<Checksum>,
        body: &mut Option<Body>,
    ) -> Result<Ended, Refusal> {
        let turn = tokio::time::timeout(GIVE_WAY, self.door.turns.take(upload.id)).await;
        let turn = turn.map_err(|_| Refusal::locked())?;
        // Whoever had the turn before may have moved it on.
        let present = self.door.app.unfinished.find(&visitor.actor, upload.id).await?;
        headers::check_offset(&present, uploads::received(upload))?;
        let intake = Intake {
            unfinished: self.door.app.unfinished.clone(),
            upload: present,
            checksum,
            promised: headers::content_length(&self.headers),
            turn,
            stop: self.door.app.stop.clone(),
            log_in: visitor.attendance.clone(),
        };
        let chunks = body.take().unwrap_or_default().into_data_stream();
        let (ended, rest) =
            self.door.tasks.spawn(intake.run(chunks)).await.map_err(|_| Refusal::internal())?;
        *body = Some(Body::from_stream(rest));
        Ok(ended?)
    }

    fn respond(&self, result: Result<Response, Refusal>, rest: Option<Body>) -> Response {
        let refusal = match result {
            Ok(response) => return response,
            Err(refusal) => refusal,
        };
        // Whoever waits to be asked for the body is not asked; its connection is closed with the answer.
        let is_coming = |rest: &Body| !rest.is_end_stream() && !self.headers.contains_key(header::EXPECT);
        if let Some(rest) = rest.filter(is_coming) {
            self.door.tasks.spawn(http::drain(rest, DRAIN, self.door.app.stop.clone()));
        }
        refusal.into_response()
    }
}

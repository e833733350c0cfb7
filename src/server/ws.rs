//! GraphQL over WebSocket: the server's side of the `graphql-transport-ws` protocol.
//!
//! One task owns the socket; each operation runs in a task of its own and passes finished messages through
//! a small bounded queue, so that a slow client slows its own operations and nothing else.

use std::collections::HashMap;
use std::time::Duration;

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::budget::Spender;
use super::guard;
use super::http;
use super::operation::{Answer, Operation, Payload};
use super::reply::{self, Refusal, code};
use super::seam::{AuthRefusal, Authenticated, GraphqlState, RequestMeta, revoked, until};
use super::seats::Seat;

const PROTOCOL: &str = "graphql-transport-ws";
/// Buffers an idle socket keeps; tungstenite's own are 128 KiB each. They grow with the message that does not fit.
const BUFFER_BYTES: usize = 2 << 10;
/// Messages between the operations of a socket and the socket.
const QUEUE: usize = 16;
/// How long the client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(2);
/// Longer names of operations are no names.
const MAX_ID: usize = 128;

/// Upgrades `GET /graphql` to a WebSocket; any other GET is a query, or refused.
pub(super) async fn upgrade<E: Executor>(
    State(state): State<GraphqlState<E>>,
    Extension(meta): Extension<RequestMeta>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return http::answer_get(state, meta, headers, parameters).await;
    };
    if state.shutdown.is_cancelled() {
        return http::refuse(Refusal::unavailable(), http::MediaType::Json, &meta.request_id);
    }
    let doorway = Spender::at(meta.ip);
    let Some(seat) = state.doorways.take(doorway) else {
        let refusal = Refusal::too_many_seats(state.doorways.most());
        return http::refuse(refusal, http::MediaType::Json, &meta.request_id);
    };
    let sockets = state.sockets.clone();
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(state.limits.json_bytes)
        .max_frame_size(state.limits.json_bytes)
        // Each message is flushed before the next, so the write buffer needs no bound of its own.
        .on_upgrade(move |socket| sockets.track_future(Connection::new(state, (meta, seat), socket).run()))
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        payload: Option<serde_json::Map<String, Value>>,
    },
    Ping {
        payload: Option<serde_json::Map<String, Value>>,
    },
    Pong {
        /// Not used, but it must be an object.
        #[serde(rename = "payload")]
        _payload: Option<serde_json::Map<String, Value>>,
    },
    Subscribe {
        id: String,
        payload: Payload,
    },
    Complete {
        id: String,
    },
}

/// Why a connection ends.
enum End {
    /// The client went away.
    Gone,
    /// The client closes, and waits for our answer to that.
    Farewell,
    /// We close it, with this code and reason.
    Close(u16, &'static str),
}

const BAD_MESSAGE: End = End::Close(4400, "Invalid message");
const UNAUTHORIZED: End = End::Close(4401, "Unauthorized");
const FORBIDDEN: End = End::Close(4403, "Forbidden");
const NO_PROTOCOL: End = End::Close(4406, "Subprotocol not acceptable");
const INIT_TIMEOUT: End = End::Close(4408, "Connection initialisation timeout");
const DUPLICATE: End = End::Close(4409, "Subscriber already exists");
const TOO_MANY_INITS: End = End::Close(4429, "Too many initialisation requests");
const TOO_BIG: End = End::Close(1009, "Message too big");
const NO_TEXT: End = End::Close(1007, "Invalid UTF-8");
const BAD_FRAME: End = End::Close(1002, "Protocol error");
const GOING_AWAY: End = End::Close(1001, "Going away");
/// Clients try again, for a while and less and less often: a seat may be left until then.
const TOO_MANY_SOCKETS: End = End::Close(1013, "Too many sockets");
const TRY_AGAIN: End = End::Close(1013, "Try again later");

/// A message of an operation, on its way to the socket.
struct Outgoing {
    id: String,
    serial: u64,
    text: String,
    last: bool,
}

/// An operation that runs.
struct Open {
    /// Tells operations apart that used the same id one after the other.
    serial: u64,
    /// Aborts it with the client's `complete` or the connection's end; but a mutation must not stop half way.
    _abort: Option<AbortOnDropHandle<()>>,
}

struct Connection<E> {
    state: GraphqlState<E>,
    meta: RequestMeta,
    /// At the door at first, the asker's own once it is known whose it is.
    seat: Seat,
    socket: WebSocket,
    /// Who asks, once the connection is acknowledged.
    asker: Option<Authenticated>,
    /// What they showed; looked at anew for every operation, for a log-in may end while its socket is open.
    authorization: Option<String>,
    /// When to close: for want of `connection_init` at first, at the token's end later.
    deadline: Option<Instant>,
    operations: HashMap<String, Open>,
    serial: u64,
    /// Boxed, because the queue keeps room for more of them than it holds.
    outbox: mpsc::Sender<Box<Outgoing>>,
    inbox: mpsc::Receiver<Box<Outgoing>>,
    keep_alive: Interval,
    /// Whether nothing was heard since the last ping.
    silent: bool,
}

impl<E: Executor> Connection<E> {
    fn new(state: GraphqlState<E>, (meta, seat): (RequestMeta, Seat), socket: WebSocket) -> Self {
        let (outbox, inbox) = mpsc::channel(QUEUE);
        let every = state.limits.keep_alive;
        let mut keep_alive = tokio::time::interval_at(Instant::now() + every, every);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            deadline: Some(Instant::now() + state.limits.init_time),
            state,
            meta,
            seat,
            socket,
            asker: None,
            authorization: None,
            operations: HashMap::new(),
            serial: 0,
            outbox,
            inbox,
            keep_alive,
            silent: false,
        }
    }

    async fn run(mut self) {
        let end = if self.socket.protocol().is_some() {
            self.serve().await.expect_err("serving ends with a reason only")
        } else {
            NO_PROTOCOL
        };
        self.operations.clear();
        let goodbye = async {
            match end {
                End::Gone => {}
                End::Farewell => self.drain().await,
                End::Close(code, reason) => self.close(code, reason).await,
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    /// Reads to the end: what has to be answered on the way, the library answers.
    async fn drain(&mut self) {
        while let Some(Ok(_)) = self.socket.recv().await {}
    }

    /// Closes properly: a socket dropped with unread bytes would be reset, and the close frame lost.
    async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
            self.drain().await;
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            tokio::select! {
                message = self.socket.recv() => self.receive(message).await?,
                Some(outgoing) = self.inbox.recv() => self.forward(outgoing).await?,
                _ = self.keep_alive.tick() => self.ping().await?,
                () = until(self.deadline) => return Err(if self.asker.is_some() { FORBIDDEN } else { INIT_TIMEOUT }),
                () = revoked(self.asker.as_ref()) => return Err(FORBIDDEN),
                () = self.state.shutdown.cancelled() => return Err(GOING_AWAY),
            }
        }
    }

    async fn receive(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.silent = false;
        match message {
            // Boxed, because a socket that waits would keep room for all that it may have to do.
            Some(Ok(Message::Text(text))) => Box::pin(self.handle(self.parse(&text)?)).await,
            Some(Ok(Message::Binary(_))) => Err(BAD_MESSAGE),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Err(error)) => Err(breach(&error)),
            Some(Ok(Message::Close(_))) => Err(End::Farewell),
            None => Err(End::Gone),
        }
    }

    fn parse(&self, text: &str) -> Result<ClientMessage, End> {
        guard::check_json(text.as_bytes(), &self.state.limits.document).map_err(|_| BAD_MESSAGE)?;
        serde_json::from_str(text).map_err(|_| BAD_MESSAGE)
    }

    async fn handle(&mut self, message: ClientMessage) -> Result<(), End> {
        match message {
            ClientMessage::ConnectionInit { payload } => self.initialise(payload.unwrap_or_default()).await,
            ClientMessage::Ping { payload: None } => self.send(json!({"type": "pong"})).await,
            ClientMessage::Ping { payload } => self.send(json!({"type": "pong", "payload": payload})).await,
            ClientMessage::Pong { .. } => Ok(()),
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload).await,
            ClientMessage::Complete { id } => {
                self.operations.remove(&id);
                Ok(())
            }
        }
    }

    async fn initialise(&mut self, payload: serde_json::Map<String, Value>) -> Result<(), End> {
        if self.asker.is_some() {
            return Err(TOO_MANY_INITS);
        }
        let authorization = match payload.get("authorization").or_else(|| payload.get("Authorization")) {
            None | Some(Value::Null) => None,
            Some(Value::String(authorization)) => Some(authorization.as_str()),
            Some(_) => return Err(BAD_MESSAGE),
        };
        self.authorization = authorization.map(str::to_owned);
        let asker = self.authenticate().await?;
        self.seat = self.state.seats.take(asker.holder).ok_or(TOO_MANY_SOCKETS)?;
        self.deadline = asker.deadline(self.state.clock.as_ref());
        self.asker = Some(asker);
        self.send(json!({"type": "connection_ack"})).await
    }

    /// Owns what it needs: a socket must not be borrowed across an await.
    fn authenticate(&self) -> impl Future<Output = Result<Authenticated, End>> + Send + 'static {
        let (authenticator, meta) = (self.state.authenticator.clone(), self.meta.clone());
        let authorization = self.authorization.clone();
        async move {
            let asker = authenticator.authenticate(authorization.as_deref(), &meta).await;
            asker.map_err(|refusal| match refusal {
                AuthRefusal::Unauthenticated => FORBIDDEN,
                AuthRefusal::RateLimited(_) | AuthRefusal::Unavailable => TRY_AGAIN,
            })
        }
    }

    async fn subscribe(&mut self, id: String, payload: Payload) -> Result<(), End> {
        if self.asker.is_none() {
            return Err(UNAUTHORIZED);
        }
        if id.is_empty() || id.len() > MAX_ID {
            return Err(BAD_MESSAGE);
        }
        if self.operations.contains_key(&id) {
            return Err(DUPLICATE);
        }
        let limits = &self.state.limits;
        if self.operations.len() >= limits.socket_operations {
            let message = format!("A socket carries at most {} operations.", limits.socket_operations);
            return self.refuse(id, Refusal::document(code::LIMIT_EXCEEDED, message)).await;
        }
        match Operation::admit(payload, &self.state) {
            Ok(mut operation) => {
                let asker = self.authenticate().await?;
                if let Err(overdraft) = operation.charge(&asker, &self.state).await {
                    return self.refuse(id, overdraft.into()).await;
                }
                self.start(id, operation.attached(&asker));
                Ok(())
            }
            Err(refusal) => self.refuse(id, refusal).await,
        }
    }

    async fn refuse(&mut self, id: String, refusal: Refusal) -> Result<(), End> {
        let response = reply::finish(refusal.into(), &self.meta.request_id);
        self.send(json!({"type": "error", "id": id, "payload": response.errors})).await
    }

    fn start(&mut self, id: String, operation: Operation) {
        self.serial += 1;
        let running = Running {
            outbox: self.outbox.clone(),
            request_id: self.meta.request_id.clone(),
            id: id.clone(),
            serial: self.serial,
        };
        let kind = operation.kind;
        let answers = operation.stream(&self.state.schema);
        let task = tokio::spawn(running.run(kind, answers).in_current_span());
        let abort = (kind != OperationType::Mutation).then(|| AbortOnDropHandle::new(task));
        self.operations.insert(id, Open { serial: self.serial, _abort: abort });
    }

    /// Sends what an operation has to say, unless the client has completed it meanwhile.
    async fn forward(&mut self, outgoing: Box<Outgoing>) -> Result<(), End> {
        let current = self.operations.get(&outgoing.id).is_some_and(|own| own.serial == outgoing.serial);
        if !current {
            return Ok(());
        }
        if outgoing.last {
            self.operations.remove(&outgoing.id);
        }
        self.write(Message::Text(outgoing.text.into())).await
    }

    /// Asks for a sign of life; a client that gave none since the last time is gone.
    async fn ping(&mut self) -> Result<(), End> {
        if std::mem::replace(&mut self.silent, true) {
            return Err(End::Gone);
        }
        self.write(Message::Ping(bytes::Bytes::new())).await
    }

    async fn send(&mut self, message: Value) -> Result<(), End> {
        self.write(Message::Text(message.to_string().into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(self.state.limits.idle_time, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

/// What a frame that cannot be read ends the connection with.
fn breach(error: &axum::Error) -> End {
    // axum hides tungstenite's type; its errors start like this, by their kind.
    let told = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match told {
        told if told.starts_with("Space limit exceeded") => TOO_BIG,
        told if told.starts_with("UTF-8 encoding error") => NO_TEXT,
        told if told.starts_with("WebSocket protocol error") => BAD_FRAME,
        _ => End::Gone,
    }
}

/// An operation in its own task.
struct Running {
    outbox: mpsc::Sender<Box<Outgoing>>,
    request_id: String,
    id: String,
    serial: u64,
}

impl Running {
    async fn run(self, kind: OperationType, answers: BoxStream<'static, Answer>) {
        let results = std::panic::AssertUnwindSafe(self.results(kind, answers));
        if results.catch_unwind().await.is_err() {
            tracing::error!(request_id = self.request_id, "a resolver panicked");
            let response = reply::finish(Refusal::internal().into(), &self.request_id);
            self.say(message("error", &self.id, &response.errors), true).await;
        }
    }

    async fn results(&self, kind: OperationType, mut answers: BoxStream<'static, Answer>) {
        let mut first = true;
        while let Some(answer) = answers.next().await {
            if std::mem::take(&mut first) && reply::never_started(&answer.response, kind) {
                let response = reply::finish(answer.response, &self.request_id);
                return self.say(message("error", &self.id, &response.errors), true).await;
            }
            let text = answer.text(&self.request_id);
            self.say(next(&self.id, &text), false).await;
        }
        self.say(json!({"type": "complete", "id": self.id}).to_string(), true).await;
    }

    async fn say(&self, text: String, last: bool) {
        let outgoing = Outgoing { id: self.id.clone(), serial: self.serial, text, last };
        // Fails only when the connection is gone.
        let _ = self.outbox.send(Box::new(outgoing)).await;
    }
}

/// A message of an operation. Serialised as it stands: fields keep the order the client asked for.
fn message(kind: &'static str, id: &str, payload: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct OperationMessage<'a, P> {
        id: &'a str,
        r#type: &'static str,
        payload: &'a P,
    }
    reply::to_json(&OperationMessage { id, r#type: kind, payload })
}

/// A message of an operation with an answer, as it is sent.
fn next(id: &str, answer: &str) -> String {
    format!(r#"{{"id":{},"type":"next","payload":{answer}}}"#, reply::to_json(&id))
}

#[cfg(test)]
mod tests;

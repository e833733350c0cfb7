//! From the `Authorization` header to an actor.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::budget::{Balance, Budgets, Overdraft, Spender};
use super::seam::{AuthRefusal, Authenticated, Authenticator, Budget, RequestMeta};
use crate::actor::{Actor, Origin};
use crate::app::App;
use crate::audit::{self, Witness};
use crate::auth::Bearer;
use crate::auth::api_key::Blame;
use crate::auth::presence::Attendance;
use crate::error::Error;
use crate::graphql::context::Asker;

/// What the trail says of a token, and of a ticket, that is none of ours.
const BAD_TOKEN: (Actor, &str) = (Actor::Anonymous, "token.refused");
const BAD_TICKET: (Actor, &str) = (Actor::Anonymous, "ticket.refused");

/// Knows who holds which access token or API key.
pub(super) struct Bearers {
    app: Arc<App>,
    /// Of root fields.
    budgets: Arc<Budgets>,
    /// Of requests to `/uploads`.
    uploads: Arc<Budgets>,
    /// Of requests for files.
    downloads: Arc<Budgets>,
}

/// Somebody who was let in, or nobody in particular.
pub(super) struct Visitor {
    pub(super) actor: Actor,
    pub(super) origin: Origin,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) attendance: Option<Attendance>,
}

impl Bearers {
    pub(super) fn new(app: Arc<App>) -> Self {
        let limits = &app.config.limits;
        let [budgets, uploads, downloads] = [limits.requests, limits.uploads, limits.downloads].map(|rate| {
            let budgets = Arc::new(Budgets::new(rate, &app.clock));
            budgets.keep_small(&app.stop);
            budgets
        });
        Self { app, budgets, uploads, downloads }
    }

    fn purse(&self, actor: Actor, meta: &RequestMeta) -> Purse {
        let spender = match actor {
            Actor::User { id, .. } => Spender::User(id),
            Actor::ApiKey { id, .. } => Spender::ApiKey(id),
            _ => Spender::at(meta.ip),
        };
        let (app, budgets, action) = (self.app.clone(), self.budgets.clone(), "rate_limit.requests");
        Purse { app, budgets, spender, actor, origin: origin(meta), action }
    }

    /// Tells who asks.
    ///
    /// # Errors
    /// When a token is given and not good, or cannot be checked at the moment.
    pub(super) async fn visitor(
        &self,
        authorization: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<Visitor, AuthRefusal> {
        let origin = origin(meta);
        let Some(value) = authorization else {
            return Ok(Visitor { actor: Actor::Anonymous, origin, expires_at: None, attendance: None });
        };
        let Some(token) = token(value) else { return Err(self.refuse(Some(BAD_TOKEN), meta).await) };
        match self.app.auth.bearer(token, meta.ip).await {
            Err(Error::Unauthenticated) => Err(self.refuse_token(token, meta).await),
            bearer => admitted(bearer, origin),
        }
    }

    /// Tells who holds a ticket for a path.
    ///
    /// # Errors
    /// When the ticket is not good, or cannot be checked at the moment.
    pub(super) async fn ticket_holder(
        &self,
        path: &str,
        ticket: &str,
        meta: &RequestMeta,
    ) -> Result<Visitor, AuthRefusal> {
        let auth = &self.app.auth;
        match auth.ticket_holder(path, ticket).await {
            Err(Error::Unauthenticated) => {
                let news = (!auth.has_ticket_run_out(path, ticket)).then_some(BAD_TICKET);
                Err(self.refuse(news, meta).await)
            }
            bearer => admitted(bearer, origin(meta)),
        }
    }

    /// Takes a request to `/uploads` from the budget of whoever asks.
    ///
    /// # Errors
    /// When there were too many.
    pub(super) async fn count_upload(&self, visitor: &Visitor, meta: &RequestMeta) -> Result<(), Overdraft> {
        self.count(&self.uploads, "rate_limit.uploads", (visitor, meta)).await
    }

    /// Takes a request for a file from the budget of whoever asks.
    ///
    /// # Errors
    /// When there were too many.
    pub(super) async fn count_download(
        &self,
        visitor: &Visitor,
        meta: &RequestMeta,
    ) -> Result<(), Overdraft> {
        self.count(&self.downloads, "rate_limit.downloads", (visitor, meta)).await
    }

    async fn count(
        &self,
        budgets: &Arc<Budgets>,
        action: &'static str,
        (visitor, meta): (&Visitor, &RequestMeta),
    ) -> Result<(), Overdraft> {
        let purse = Purse { budgets: budgets.clone(), action, ..self.purse(visitor.actor.clone(), meta) };
        purse.spend(NonZeroU32::MIN).await.map(drop)
    }

    /// Refuses a token that is not good. One that has merely run out is no news; whose API key it is, its owner reads in the
    /// trail.
    async fn refuse_token(&self, token: &str, meta: &RequestMeta) -> AuthRefusal {
        match self.app.auth.blame(token).await {
            Ok(Blame::Unknown) => self.refuse(Some(BAD_TOKEN), meta).await,
            Ok(Blame::RunOut) => self.refuse(None, meta).await,
            Ok(Blame::ApiKey(key)) => self.refuse(Some((key, "api_key.refused")), meta).await,
            Err(error) => {
                tracing::error!(?error, "a token could not be checked");
                AuthRefusal::Unavailable
            }
        }
    }

    /// A token or a ticket that is not good costs as much as an operation would, so that guessing is slow; and is reported, if
    /// it is news.
    async fn refuse(&self, news: Option<(Actor, &'static str)>, meta: &RequestMeta) -> AuthRefusal {
        let purse = self.purse(Actor::Anonymous, meta);
        if let Some((actor, action)) = news {
            Purse { actor, ..self.purse(Actor::Anonymous, meta) }.report(action).await;
        }
        match purse.spend(NonZeroU32::MIN).await {
            Ok(_) => AuthRefusal::Unauthenticated,
            Err(overdraft) => AuthRefusal::RateLimited(overdraft),
        }
    }
}

#[async_trait]
impl Authenticator for Bearers {
    async fn authenticate(
        &self,
        authorization: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<Authenticated, AuthRefusal> {
        let Visitor { actor, expires_at, attendance, .. } = self.visitor(authorization, meta).await?;
        let revoked = attendance.as_ref().map_or_else(CancellationToken::new, Attendance::ended);
        let known = actor != Actor::Anonymous;
        let purse = self.purse(actor.clone(), meta);
        let (holder, budget) = (purse.spender, Arc::new(purse));
        let asker = Arc::new(Asker::new(self.app.clone(), actor, origin(meta)));
        let attach = Arc::new(move |request| asker.attach(request));
        Ok(Authenticated { attach, holder, budget, expires_at, revoked, attendance, known })
    }
}

/// What somebody pays from.
struct Purse {
    app: Arc<App>,
    budgets: Arc<Budgets>,
    spender: Spender,
    actor: Actor,
    origin: Origin,
    /// What the trail says when there is nothing left.
    action: &'static str,
}

#[async_trait]
impl Budget for Purse {
    async fn spend(&self, root_fields: NonZeroU32) -> Result<Option<Balance>, Overdraft> {
        let spent = self.budgets.spend(self.spender, root_fields);
        if spent.is_err() {
            self.report(self.action).await;
        }
        spent
    }
}

impl Purse {
    /// Writes into the audit trail what was refused, once a window. What is refused stays so where that fails.
    async fn report(&self, action: &'static str) {
        if !self.budgets.is_news(action, self.spender) {
            return;
        }
        let witness = Witness { actor: &self.actor, origin: &self.origin, at: self.app.clock.now() };
        let subject_type = action.split('.').next().unwrap_or(action);
        let subject_id = match &self.actor {
            Actor::ApiKey { id, .. } if subject_type == "api_key" => Some(*id),
            _ => None,
        };
        let event = audit::Event { action, subject_type, subject_id, refused: true, ..Default::default() };
        if let Err(error) = audit::record(&self.app.db, witness, event).await {
            tracing::error!(?error, action, "a refusal was not written into the audit trail");
        }
    }
}

/// Whoever was let in.
fn admitted(bearer: Result<Bearer, Error>, origin: Origin) -> Result<Visitor, AuthRefusal> {
    match bearer {
        Ok(Bearer { actor, expires_at, attendance }) => {
            Ok(Visitor { actor, origin, expires_at: Some(expires_at), attendance: Some(attendance) })
        }
        Err(error) => {
            tracing::error!(?error, "a token could not be checked");
            Err(AuthRefusal::Unavailable)
        }
    }
}

fn origin(meta: &RequestMeta) -> Origin {
    Origin {
        request_id: meta.request_id.clone(),
        ip: Some(meta.ip.to_string()),
        user_agent: meta.user_agent.clone(),
    }
}

fn token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

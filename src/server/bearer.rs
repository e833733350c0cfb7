//! From the `Authorization` header to an actor.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::seam::{AuthRefusal, Authenticated, Authenticator, RequestMeta};
use crate::actor::{Actor, Origin};
use crate::app::App;
use crate::auth::presence::Attendance;
use crate::error::Error;
use crate::graphql::context::Asker;

/// Knows who holds which access token.
pub(super) struct Bearers(Arc<App>);

impl Bearers {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self(app)
    }
}

#[async_trait]
impl Authenticator for Bearers {
    async fn authenticate(
        &self,
        authorization: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<Authenticated, AuthRefusal> {
        let (actor, expires_at, attendance) = match authorization {
            None => (Actor::Anonymous, None, None),
            Some(value) => {
                let bearer = self.0.auth.bearer(token(value)?).await.map_err(refusal)?;
                (bearer.actor, Some(bearer.expires_at), Some(bearer.attendance))
            }
        };
        let revoked = attendance.as_ref().map_or_else(CancellationToken::new, Attendance::ended);
        let known = actor != Actor::Anonymous;
        let origin = Origin {
            request_id: meta.request_id.clone(),
            ip: Some(meta.ip.to_string()),
            user_agent: meta.user_agent.clone(),
        };
        let asker = Arc::new(Asker::new(self.0.clone(), actor, origin));
        let attach = Arc::new(move |request| asker.attach(request));
        Ok(Authenticated { attach, expires_at, revoked, attendance, known })
    }
}

fn token(authorization: &str) -> Result<&str, AuthRefusal> {
    let (scheme, token) = authorization.split_once(' ').ok_or(AuthRefusal::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(AuthRefusal::Unauthenticated) }
}

fn refusal(error: Error) -> AuthRefusal {
    match error {
        Error::Unauthenticated => AuthRefusal::Unauthenticated,
        other => {
            tracing::error!(error = ?other, "a token could not be checked");
            AuthRefusal::Unavailable
        }
    }
}

//! A key at the door: whether it lets in, and when it was last used.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{addresses, secret};
use crate::actor::Actor;
use crate::auth::presence::Pass;
use crate::auth::{Auth, Bearer};
use crate::entity::api_key::{Column, Entity, Presented, let_in_before, presented, with_secret};
use crate::error::{Error, Result};

/// Uses that follow each other sooner are not told apart.
const USED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Why a token let nobody in, for the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// It is none of ours, or was tampered with.
    Unknown,
    /// It was good until it ran out: no sign of an attack.
    RunOut,
    /// It is this API key, which was revoked, or may not be used from there: its owner should know.
    ApiKey(Actor),
}

/// The keys whose use is being written down in this process: of many requests at once, one writes.
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<Mutex<HashSet<Uuid>>>);

impl Auth {
    /// Whether a token means to be an API key.
    pub(in crate::auth) fn is_api_key(token: &str) -> bool {
        secret::is_meant(token)
    }

    /// The key with this secret: neither revoked nor expired, of an active therapist, and used from where it may be.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for every reason: which one it is, is told in the trail.
    pub(in crate::auth) async fn key_bearer(&self, token: &str, ip: IpAddr) -> Result<Bearer> {
        let hash = secret::hash(token).ok_or(Error::Unauthenticated)?;
        // In first, then the look: no end of the key is missed.
        let attendance = self.presence.attend(Pass::ApiKey(hash));
        let key = presented(&self.db, with_secret(&hex::encode(hash))).await?;
        let key = key.ok_or(Error::Unauthenticated)?;
        if !is_good(&key, self.clock.now()) || !addresses::admit(&key.allowed_ips, ip) {
            return Err(Error::Unauthenticated);
        }
        self.note_use(&key);
        Ok(Bearer { actor: key.actor(), expires_at: key.expires_at, attendance })
    }

    /// Whether a key that was let in may still be here.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] once it is revoked or expired, or its owner no active therapist any more.
    pub(in crate::auth) async fn key_still_welcome(&self, id: Uuid) -> Result<()> {
        let key = presented(&self.db, let_in_before(id)).await?;
        if key.is_some_and(|key| is_good(&key, self.clock.now())) {
            Ok(())
        } else {
            Err(Error::Unauthenticated)
        }
    }

    /// Why a token that [`bearer`](Auth::bearer) refused let nobody in.
    ///
    /// # Errors
    /// Only faults.
    pub async fn blame(&self, token: &str) -> Result<Blame> {
        if !Self::is_api_key(token) {
            return Ok(if self.has_run_out(token) { Blame::RunOut } else { Blame::Unknown });
        }
        let Some(hash) = secret::hash(token) else { return Ok(Blame::Unknown) };
        Ok(match presented(&self.db, with_secret(&hex::encode(hash))).await? {
            None => Blame::Unknown,
            Some(key) if has_run_out(&key, self.clock.now()) => Blame::RunOut,
            Some(key) => Blame::ApiKey(key.actor()),
        })
    }

    /// Writes down that a key is used, once a minute, and lets nobody wait for it.
    fn note_use(&self, key: &Presented) {
        let (id, now) = (key.id, self.clock.now());
        if key.last_used_at.is_some_and(|used| now - used < USED_EVERY) || !self.uses.begin(id) {
            return;
        }
        let (db, uses) = (self.db.clone(), self.uses.clone());
        tokio::spawn(async move {
            if let Err(error) = write_use(&db, id, now).await {
                tracing::warn!(%error, api_key_id = %id, "the use of an API key was not written down");
            }
            uses.end(id);
        });
    }
}

impl Uses {
    /// Whether nobody is at it.
    fn begin(&self, id: Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn end(&self, id: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

fn is_good(key: &Presented, now: DateTime<Utc>) -> bool {
    key.revoked_at.is_none() && now < key.expires_at && key.owner_is_welcome
}

/// A key that was revoked before has not merely run out.
fn has_run_out(key: &Presented, now: DateTime<Utc>) -> bool {
    key.revoked_at.is_none() && key.expires_at <= now
}

/// Another process may have written it meanwhile.
async fn write_use(db: &DatabaseConnection, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    let before =
        Condition::any().add(Column::LastUsedAt.is_null()).add(Column::LastUsedAt.lte(now - USED_EVERY));
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(before)
        .exec(db)
        .await?;
    Ok(())
}

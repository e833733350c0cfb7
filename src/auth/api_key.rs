//! API keys: what integrations of a therapist ask with. A key sees its owner's rows, and may do what its scopes say.
//!
//! It outlives the log-in it was made in, so making one takes the proofs that changing a second factor takes: the password, and
//! a code where there is a second factor. Its secret has 256 random bits, so that a plain hash is enough to keep.

mod addresses;
mod presented;
mod secret;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QuerySelect, Select,
};
use uuid::Uuid;

pub use self::presented::{Blame, Uses};
use super::Auth;
use super::second_factor::{confirmed, hold_asker};
use crate::actor::scope::{Scope, Scopes};
use crate::actor::{Actor, Origin};
use crate::audit;
use crate::database;
use crate::entity::api_key::{ActiveModel, Column, Entity, Model, alive, visible_to};
use crate::error::{Code, Error, Result, UserError};
use crate::idempotency::{self, Asked};
use crate::page::{Page, PageArgs};
use crate::text;

/// A key ends within a year: one that leaked unseen, or that nobody remembers, ends by itself. 366 days, so that the same day
/// of next year will do.
const LONGEST: TimeDelta = TimeDelta::days(366);
/// Whoever asks for less has mistaken the time.
const SHORTEST: TimeDelta = TimeDelta::minutes(1);
/// Keys of one owner that are neither revoked nor expired.
const MOST: u64 = 50;
/// How the creation is called in the trail, also where it is refused.
const CREATE: &str = "api_key.create";

/// A key somebody wants to have.
#[derive(Clone)]
pub struct NewApiKey {
    /// What to call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// From where it may be used: addresses and networks; from anywhere if empty.
    pub allowed_ips: Vec<String>,
    /// The owner's password.
    pub password: String,
    /// A code of the owner's second factor, if there is one.
    pub code: Option<String>,
    /// Makes it safe to ask again.
    pub idempotency_key: Option<String>,
}

/// A key, and, when it has just been made, its secret.
#[derive(Clone)]
pub struct MadeApiKey {
    /// The key.
    pub key: Model,
    /// Shown once: only its hash is kept.
    pub secret: Option<String>,
}

/// What was asked for, held against the rules.
struct Checked {
    name: String,
    scopes: Scopes,
    expires_at: DateTime<Utc>,
    allowed_ips: Vec<String>,
}

impl Auth {
    /// Makes a key. A replay has no secret, and takes no code: one that was used cannot be used again.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `INVALID_CREDENTIALS`, `INVALID_STATE` for whoever has too many, `IDEMPOTENCY_KEY_REUSED`,
    /// `IDEMPOTENCY_IN_PROGRESS`; [`Error::RateLimited`].
    pub async fn create_api_key(&self, actor: &Actor, origin: &Origin, new: NewApiKey) -> Result<MadeApiKey> {
        let (owner_id, now) = (actor.therapist_id()?, self.clock.now());
        let wanted = Checked::of(&new)?;
        let user = self.prove_password((actor, origin), CREATE, &new.password).await?;
        let txn = database::begin(&self.db).await?;
        hold_asker(&txn, actor, Some(&user)).await?;
        let claim = match &new.idempotency_key {
            None => None,
            Some(key) => match idempotency::ask(&txn, owner_id, "createApiKey", key, now).await? {
                Asked::Claimed(claim) => Some(claim),
                Asked::Done(done) => {
                    let found = visible_to(actor).filter(Column::Id.eq(done.replay(&wanted.hash())?));
                    let key = found.one(&txn).await?.ok_or_else(no_such_key)?;
                    return Ok(MadeApiKey { key, secret: None });
                }
            },
        };
        wanted.check_life(now)?;
        if confirmed(&txn, owner_id).await?.is_some() {
            let code = new.code.as_deref().ok_or_else(code_is_missing)?;
            if !self.spend_code(&txn, owner_id, code, now).await? {
                return Err(self.refuse_code(txn, (actor, origin), CREATE).await?);
            }
        }
        check_number(&txn, actor, now).await?;
        let secret = secret::generate();
        let key = Entity::insert(wanted.row(owner_id, &secret, now)?).exec_with_returning(&txn).await?;
        self.witness_by(&txn, (actor, origin), about(&key, CREATE)).await?;
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &wanted.hash(), key.id, now).await?;
        }
        txn.commit().await?;
        Ok(MadeApiKey { key, secret: Some(secret) })
    }

    /// Ends a key of the asker's: whatever is open with it ends at once. Doing it twice is fine.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn revoke_api_key(&self, actor: &Actor, origin: &Origin, id: Option<Uuid>) -> Result<Model> {
        actor.therapist_id()?;
        let (id, now) = (id.ok_or_else(no_such_key)?, self.clock.now());
        let txn = database::begin(&self.db).await?;
        let found = visible_to(actor).filter(Column::Id.eq(id)).lock_exclusive().one(&txn).await?;
        let mut key = found.ok_or_else(no_such_key)?;
        if key.revoked_at.is_none() {
            revoke(&txn, Column::Id.eq(id), now).await?;
            self.witness_by(&txn, (actor, origin), about(&key, "api_key.revoke")).await?;
            (key.revoked_at, key.updated_at) = (Some(now), now);
        }
        txn.commit().await?;
        self.presence.nudge();
        Ok(key)
    }

    /// One key, if the actor may know of it.
    ///
    /// # Errors
    /// Only faults.
    pub async fn api_key(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        Ok(visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?)
    }

    /// Those of the keys that the actor may know of.
    ///
    /// # Errors
    /// Only faults.
    pub async fn api_keys_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(visible_to(actor).filter(Column::Id.is_in(ids.iter().copied())).all(&self.db).await?)
    }

    /// A page of the keys, newest first; ended ones are among them until they are removed.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for others than therapists.
    pub async fn api_keys(&self, actor: &Actor, page: PageArgs) -> Result<Page<Model>> {
        actor.therapist_id()?;
        Ok(page.fetch(visible_to(actor), Column::Id, &self.db).await?)
    }

    /// How many keys [`api_keys`](Self::api_keys) has on all its pages.
    ///
    /// # Errors
    /// Those of [`api_keys`](Self::api_keys).
    pub async fn count_api_keys(&self, actor: &Actor) -> Result<u64> {
        actor.therapist_id()?;
        Ok(visible_to(actor).count(&self.db).await?)
    }
}

impl Checked {
    fn of(new: &NewApiKey) -> Result<Self, UserError> {
        let scopes: Scopes = new.scopes.iter().copied().collect();
        if scopes == Scopes::default() {
            let message =
                "`scopes` is empty. A key may do nothing but what its scopes say: name one at least.";
            return Err(UserError::invalid("scopes", message));
        }
        Ok(Self {
            name: text::line("name", &new.name, 100)?,
            scopes,
            expires_at: new.expires_at,
            allowed_ips: addresses::read(&new.allowed_ips)?,
        })
    }

    /// Not before a replay: what was good then need not be so now.
    fn check_life(&self, now: DateTime<Utc>) -> Result<(), UserError> {
        if self.expires_at < now + SHORTEST {
            let message = "`expiresAt` must be at least a minute ahead.";
            return Err(UserError::invalid("expiresAt", message));
        }
        if self.expires_at > now + LONGEST {
            let message =
                "`expiresAt` must be within a year (366 days): make a new key before the old one ends.";
            return Err(UserError::invalid("expiresAt", message));
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.scopes.iter().map(|scope| scope.as_str().to_owned()).collect()
    }

    fn hash(&self) -> String {
        let (scopes, ips) = (self.names().join(" "), self.allowed_ips.join(" "));
        idempotency::input_hash(&[&self.name, &scopes, &self.expires_at.to_rfc3339(), &ips])
    }

    fn row(&self, owner_id: Uuid, secret: &str, now: DateTime<Utc>) -> Result<ActiveModel> {
        let hash = secret::hash(secret).ok_or_else(|| anyhow::anyhow!("a new secret is no secret"))?;
        Ok(ActiveModel {
            id: Set(Uuid::now_v7()),
            owner_id: Set(owner_id),
            name: Set(self.name.clone()),
            prefix: Set(secret::prefix(secret)),
            secret_hash: Set(hex::encode(hash)),
            scopes: Set(self.names()),
            allowed_ips: Set(self.allowed_ips.clone()),
            expires_at: Set(self.expires_at),
            last_used_at: Set(None),
            revoked_at: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        })
    }
}

/// Ends every key of a user, for good.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn revoke_all_of(
    txn: &impl ConnectionTrait,
    owner_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    revoke(txn, Column::OwnerId.eq(owner_id), now).await
}

async fn revoke(txn: &impl ConnectionTrait, which: Expr, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(which)
        .filter(Column::RevokedAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// Exact: whoever makes a key holds the owner's row until it is there.
async fn check_number(txn: &impl ConnectionTrait, actor: &Actor, now: DateTime<Utc>) -> Result<()> {
    let good: Select<Entity> = visible_to(actor).filter(alive(now));
    if good.count(txn).await? < MOST {
        return Ok(());
    }
    let message = format!("You have {MOST} API keys already. Revoke one that is not needed any more.");
    Err(UserError::new(Code::InvalidState, message).into())
}

fn about(key: &Model, action: &'static str) -> audit::Event {
    audit::Event { action, subject_type: "api_key", subject_id: Some(key.id), ..Default::default() }
}

fn code_is_missing() -> UserError {
    let message = "Your account has a second factor: send its code, too.";
    UserError::new(Code::InvalidCredentials, message).on("code")
}

fn no_such_key() -> Error {
    UserError::not_found("API key").into()
}

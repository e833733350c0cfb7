//! How often one may try to get in, and what is counted for it.
//!
//! Nobody can lock a stranger out: an account is counted for each network apart, and the cap on all of them together
//! holds only where the account has never logged in from. Accounts that do not exist are counted alike.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, Statement};
use sha2::{Digest, Sha256};

use super::network;
use super::sliding_window::{self, Outcome};
use uuid::Uuid;

use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::{LimitsConfig, Rate};
use crate::error::{Error, Result};

/// How many times the limit of one network an account takes from all strange networks together.
const STRANGERS: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");

/// Codes of a second factor that may be tried for one account.
const CODES: Rate =
    Rate { count: NonZeroU32::new(20).expect("20 is not 0"), window: Duration::from_secs(60 * 60) };

/// Whether somebody has got in from near this address before: $1 e-mail, $2 network.
const FAMILIAR: &str = "SELECT EXISTS (SELECT 1 FROM auth_sessions s JOIN users u ON u.id = s.user_id
WHERE u.email = $1 AND s.ip::inet <<= $2::inet) AS familiar";

/// Limits that hold across processes.
#[derive(Clone)]
pub struct RateLimits {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    config: LimitsConfig,
}

/// One count: what for, and whose.
struct Count {
    action: &'static str,
    of: String,
    rate: Rate,
}

impl RateLimits {
    /// Limits as configured.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, config: LimitsConfig) -> Self {
        Self { db, clock, config }
    }

    /// Counts a log-in to the account of this e-mail (as it is stored), which need not exist; before any work is done.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub async fn log_in(&self, email: &str, origin: &Origin) -> Result<()> {
        self.proof("rate_limit.log_in", email, origin).await
    }

    /// Counts a second factor that is tried for the account of this e-mail, apart from its log-ins.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub async fn confirm_log_in(&self, email: &str, origin: &Origin) -> Result<()> {
        self.proof("rate_limit.confirm_log_in", email, origin).await
    }

    /// Counts a code that is tried for an account, from wherever: of a million codes three are good at a time, and whoever
    /// tries them knows the password already. Never off.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub async fn second_factor(&self, user_id: Uuid, origin: &Origin) -> Result<()> {
        let of = format!("user {user_id}");
        let count = Count { action: "rate_limit.second_factor", of, rate: CODES };
        self.count(count, &Actor::Anonymous, origin).await
    }

    /// Counts a proof of who they are, by a password or a code, of somebody who is logged in already: whoever got hold of
    /// a log-in must not get hold of the account by guessing.
    ///
    /// # Errors
    /// [`Error::RateLimited`], and what [`Actor::user_id`] gives.
    pub async fn proof_of_user(&self, actor: &Actor, origin: &Origin) -> Result<()> {
        let Some(rate) = self.config.log_in else { return Ok(()) };
        let of = format!("user {}", actor.user_id()?);
        self.count(Count { action: "rate_limit.proof", of, rate }, actor, origin).await
    }

    /// Counts a sign-up.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub async fn sign_up(&self, origin: &Origin) -> Result<()> {
        let Some(rate) = self.config.sign_up else { return Ok(()) };
        let of = format!("ip {}", name(client(origin).map(network::host)));
        self.count(Count { action: "rate_limit.sign_up", of, rate }, &Actor::Anonymous, origin).await
    }

    /// Counts an export that somebody asks for, in the transaction that makes it: what is rolled back was not asked for. A refusal
    /// is remembered, and reported, only if the transaction is committed all the same.
    ///
    /// # Errors
    /// [`Error::RateLimited`], and what [`Actor::therapist_or`] gives.
    pub async fn export(&self, txn: &impl ConnectionTrait, actor: &Actor, origin: &Origin) -> Result<()> {
        let Some(rate) = self.config.exports else { return Ok(()) };
        // What a therapist's keys ask for counts with the rest.
        let of = format!("user {}", actor.therapist_or(Scope::ExportsWrite)?);
        self.count_in(txn, Count { action: "rate_limit.export", of, rate }, actor, origin).await
    }

    /// Counts a delivery to a webhook that somebody asks for by hand, as [`export`](Self::export) counts an export.
    ///
    /// # Errors
    /// [`Error::RateLimited`], and what [`Actor::therapist_or`] gives.
    pub async fn webhook(&self, txn: &impl ConnectionTrait, actor: &Actor, origin: &Origin) -> Result<()> {
        let Some(rate) = self.config.webhooks else { return Ok(()) };
        let of = format!("user {}", actor.therapist_or(Scope::WebhooksManage)?);
        self.count_in(txn, Count { action: "rate_limit.webhook", of, rate }, actor, origin).await
    }

    async fn proof(&self, action: &'static str, email: &str, origin: &Origin) -> Result<()> {
        let Some(rate) = self.config.log_in else { return Ok(()) };
        let (ip, account) = (client(origin), hash(email));
        let near = ip.map(network::neighbourhood);
        let of_address = format!("ip {}", name(ip.map(network::host)));
        let of_account_from_near = format!("account {account} from {}", name(near));
        for of in [of_address, of_account_from_near] {
            self.count(Count { action, of, rate }, &Actor::Anonymous, origin).await?;
        }
        if self.is_familiar(email, near).await? {
            return Ok(());
        }
        let of = format!("account {account}");
        self.count(Count { action, of, rate: rate.times(STRANGERS) }, &Actor::Anonymous, origin).await
    }

    async fn is_familiar(&self, email: &str, near: Option<IpNet>) -> Result<bool, DbErr> {
        let Some(near) = near else { return Ok(false) };
        let values = [email.into(), near.to_string().into()];
        let query = Statement::from_sql_and_values(DatabaseBackend::Postgres, FAMILIAR, values);
        let row = self.db.query_one_raw(query).await?;
        row.map_or(Ok(false), |row| row.try_get("", "familiar"))
    }

    /// Counts, and reports the first refusal of a window: those that follow tell nothing new, and nobody should be able
    /// to fill the trail with them.
    async fn count(&self, count: Count, actor: &Actor, origin: &Origin) -> Result<()> {
        self.count_in(&self.db, count, actor, origin).await
    }

    async fn count_in(
        &self,
        db: &impl ConnectionTrait,
        count: Count,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<()> {
        let Count { action, of, rate } = count;
        let at = self.clock.now();
        let outcome = sliding_window::attempt(db, &format!("{action} {of}"), rate, at).await?;
        let Outcome::Refused { wait, first } = outcome else { return Ok(()) };
        if first {
            let event =
                audit::Event { action, subject_type: "rate_limit", refused: true, ..Default::default() };
            audit::record(db, Witness { actor, origin, at }, event).await?;
        }
        Err(Error::RateLimited(whole_seconds(wait)))
    }
}

/// Rounded up, for a client that comes back a moment early is refused again.
#[must_use]
pub fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn client(origin: &Origin) -> Option<IpAddr> {
    origin.ip.as_ref()?.parse().ok()
}

/// Those whose address is not known share one count.
fn name(network: Option<IpNet>) -> String {
    network.map_or_else(|| "unknown".to_owned(), |network| network.to_string())
}

/// E-mails are not kept in the clear, for most of these belong to nobody here.
fn hash(email: &str) -> String {
    hex::encode(Sha256::digest(email.as_bytes()))
}

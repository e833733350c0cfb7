//! Making accounts.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, SqlErr};
use uuid::Uuid;

use super::{Auth, NewUser, email, password};
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::database;
use crate::entity::user;
use crate::error::{Code, Error, Result, UserError};

impl Auth {
    /// Makes an account of any role, without logging in: for whoever runs the server, from the command line.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `WEAK_PASSWORD`, `ALREADY_EXISTS`.
    pub async fn create_user(&self, new: NewUser) -> Result<user::Model> {
        let now = self.clock.now();
        let user = self.new_row(checked(new)?, now).await?;
        let txn = database::begin(&self.db).await?;
        let user = insert(&txn, user).await?;
        let job = "command line";
        let (actor, origin) = (Actor::System { job }, Origin { request_id: job.into(), ..Origin::default() });
        let event = audit::Event {
            action: "user.create",
            subject_type: "user",
            subject_id: Some(user.id),
            ..Default::default()
        };
        audit::record(&txn, Witness { actor: &actor, origin: &origin, at: now }, event).await?;
        txn.commit().await?;
        Ok(user)
    }

    /// The row of a new account.
    pub(super) async fn new_row(&self, account: Checked, now: DateTime<Utc>) -> Result<user::ActiveModel> {
        Ok(user::ActiveModel {
            id: Set(Uuid::now_v7()),
            email: Set(account.email),
            hashed_password: Set(self.passwords.hash(account.password).await?),
            full_name: Set(account.full_name),
            role: Set(account.role),
            timezone: Set(account.timezone),
            is_active: Set(true),
            last_login_at: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        })
    }
}

/// An account whose every part is good.
pub(super) struct Checked {
    email: String,
    password: String,
    full_name: String,
    role: user::Role,
    timezone: String,
}

/// Holds a new account against the rules.
pub(super) fn checked(new: NewUser) -> Result<Checked, UserError> {
    let email = email::normal(&new.email)?;
    let full_name = valid_name(&new.full_name)?;
    let timezone = valid_timezone(new.timezone.as_deref())?;
    password::check(&new.password, &email, &full_name)?;
    Ok(Checked { email, password: new.password, full_name, role: new.role, timezone })
}

/// Adds an account.
///
/// # Errors
/// `ALREADY_EXISTS`.
pub(super) async fn insert(txn: &impl ConnectionTrait, user: user::ActiveModel) -> Result<user::Model> {
    user::Entity::insert(user).exec_with_returning(txn).await.map_err(already_exists)
}

fn already_exists(error: DbErr) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => {
            UserError::new(Code::AlreadyExists, "There is an account with this e-mail. Log in instead.")
                .on("email")
                .into()
        }
        _ => error.into(),
    }
}

fn valid_name(name: &str) -> Result<String, UserError> {
    crate::text::line("fullName", name, 200)
}

fn valid_timezone(timezone: Option<&str>) -> Result<String, UserError> {
    let name = timezone.unwrap_or("UTC");
    match name.parse::<Tz>() {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(_) => Err(UserError::invalid("timezone", "This is not an IANA time zone such as Europe/Berlin.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_are_iana_names() {
        assert_eq!(valid_timezone(Some("Europe/Berlin")).as_deref(), Ok("Europe/Berlin"));
        assert!(valid_timezone(Some("Mars/Olympus")).is_err());
        assert_eq!(valid_timezone(None).as_deref(), Ok("UTC"));
    }
}

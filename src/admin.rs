//! What only somebody at the machine may do: `therapybridge admin …`, and `aggregate`.

pub mod aggregate;
pub mod cleanup;

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

use anyhow::{Context, ensure};
use chrono_tz::Tz;

use crate::audit::leader::{Leader, Office};
use crate::audit::trail::Trail;
use crate::auth::rate_limit::RateLimits;
use crate::auth::{Auth, NewUser};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::database::Database;
use crate::entity::user::{self, Role};
use crate::error::{Code, Error};

/// More is no password.
const MAX_LINE: u64 = 4096;

/// Who is to have an account; everything but the password.
#[derive(Clone, Debug, clap::Args)]
pub struct CreateUser {
    /// E-mail address, to log in with.
    #[arg(long)]
    email: String,
    /// Name as shown.
    #[arg(long)]
    full_name: String,
    /// What the user is: admin, therapist or patient.
    #[arg(long, default_value = "admin", value_parser = role)]
    role: Role,
    /// IANA time zone, such as Europe/Berlin; a day in analytics is a day there.
    #[arg(long, default_value = "UTC")]
    timezone: Tz,
}

/// Makes an account; the password is asked for twice, or is the first line of standard input.
///
/// # Errors
/// When something is wrong with the account or the password; the message says what.
pub async fn create_user(config: &Config, wanted: CreateUser) -> anyhow::Result<user::Model> {
    let new = NewUser {
        password: tokio::task::spawn_blocking(password).await??,
        email: wanted.email,
        full_name: wanted.full_name,
        role: wanted.role,
        timezone: Some(wanted.timezone.name().to_owned()),
        invitation_code: None,
    };
    config.check_keys()?;
    let database = Database::open(&config.database).await?;
    let made = insert(&database, config, new).await;
    let linked = link_trail(&database, config).await;
    database.close().await;
    linked.and(made)
}

/// Where no server runs, nobody else would link what was just written into the audit trail.
async fn link_trail(database: &Database, config: &Config) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock);
    let key = Trail::new(database.connection(), &config.audit)?.key().clone();
    let head_file = config.audit.head_file.clone();
    Leader::start(Office { pool: database.pool().clone(), key, head_file, clock }).stop().await;
    Ok(())
}

async fn insert(database: &Database, config: &Config, new: NewUser) -> anyhow::Result<user::Model> {
    database.migrate().await?;
    let (db, clock) = (database.connection(), Arc::new(SystemClock));
    let limits = RateLimits::new(db.clone(), clock.clone(), config.limits);
    let auth = Auth::new(db, clock, limits, &config.auth)?;
    let email = new.email.clone();
    auth.create_user(new).await.map_err(|error| match error {
        Error::User(error) if error.code == Code::AlreadyExists => {
            anyhow::anyhow!("there is an account with the e-mail {email} already")
        }
        Error::Internal(cause) => cause,
        other => other.into(),
    })
}

/// From whoever sits at the terminal, or from what is piped in.
fn password() -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return first_line(io::stdin().lock());
    }
    let password = rpassword::prompt_password("Password: ")?;
    ensure!(password == rpassword::prompt_password("Once more: ")?, "these were two different passwords");
    Ok(password)
}

fn first_line(input: impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.take(MAX_LINE).read_line(&mut line).context("standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "no password: give one as the first line of standard input");
    Ok(password.to_owned())
}

fn role(name: &str) -> Result<Role, String> {
    match name {
        "admin" => Ok(Role::Admin),
        "therapist" => Ok(Role::Therapist),
        "patient" => Ok(Role::Patient),
        _ => Err("expected admin, therapist or patient".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_as_it_stands() {
        for (input, password) in
            [(" a b \n", " a b "), ("one\r\ntwo\n", "one"), ("no line break", "no line break")]
        {
            assert_eq!(first_line(input.as_bytes()).expect("a password"), password);
        }
        assert!(first_line("\n".as_bytes()).is_err() && first_line("".as_bytes()).is_err());
    }
}

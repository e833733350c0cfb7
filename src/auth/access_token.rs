//! Access tokens: short-lived JWTs, HS256 and nothing else.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::AuthConfig;
use crate::entity::user::{self, Role};
use crate::error::Result;
use crate::secret_file;

const ISSUER: &str = "therapybridge";
const AUDIENCE: &str = "therapybridge-api";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: Uuid,
    /// The role at log-in; rights follow the database, not this.
    pub role: String,
    /// The log-in (`auth_sessions.family_id`).
    pub sid: Uuid,
    /// This very token.
    pub jti: Uuid,
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// End, Unix seconds.
    pub exp: i64,
}

impl Claims {
    /// Claims of a user who has just proven who they are.
    #[must_use]
    pub fn new(user: &user::Model, family_id: Uuid, now: DateTime<Utc>, ttl: Duration) -> Self {
        Self {
            sub: user.id,
            role: Role::as_str(user.role).to_owned(),
            sid: family_id,
            jti: Uuid::now_v7(),
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            iat: now.timestamp(),
            exp: (now + ttl).timestamp(),
        }
    }
}

/// Signs and verifies.
#[derive(Clone)]
pub struct AccessTokens {
    encoding: EncodingKey,
    /// The present key first, then the previous ones.
    decoding: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
}

impl AccessTokens {
    /// Takes `JWT_SECRET`, or the key kept in the data directory, which is made at the first start.
    ///
    /// # Errors
    /// When the key can be neither read nor kept.
    pub fn new(config: &AuthConfig) -> anyhow::Result<Self> {
        let secret = server_secret(config)?;
        let key = |secret: &SecretString| DecodingKey::from_secret(secret.expose_secret().as_bytes());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The end is checked against our own clock, without leeway.
        validation.validate_exp = false;
        Ok(Self {
            encoding: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            decoding: std::iter::once(&secret).chain(&config.jwt_previous_secrets).map(key).collect(),
            validation,
            ttl: config.access_token_ttl,
        })
    }

    /// Life of a token.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Signs claims.
    ///
    /// # Errors
    /// Only faults.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
            .map_err(anyhow::Error::new)?)
    }

    /// The claims of a token that we signed, for us, and that has not ended.
    #[must_use]
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Claims> {
        let read = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok();
        let claims = self.decoding.iter().find_map(read)?.claims;
        (claims.exp > now.timestamp()).then_some(claims)
    }
}

/// `JWT_SECRET`, or the kept key: signs tokens, and what else the server must keep to itself is derived from it.
pub(super) fn server_secret(config: &AuthConfig) -> anyhow::Result<SecretString> {
    secret_file::set_or_kept(config.jwt_secret.as_ref(), "JWT_SECRET", &config.jwt_secret_file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn tokens(secret: &str) -> AccessTokens {
        rotated(secret, &[])
    }

    fn rotated(secret: &str, previous: &[&str]) -> AccessTokens {
        AccessTokens::new(&AuthConfig {
            jwt_secret: Some(secret.into()),
            jwt_previous_secrets: previous.iter().map(|secret| (*secret).into()).collect(),
            jwt_secret_file: "unused".into(),
            access_token_ttl: Duration::from_secs(1800),
            refresh_token_ttl: Duration::from_secs(1),
        })
        .expect("a key")
    }

    fn claims(now: DateTime<Utc>) -> Claims {
        Claims {
            sub: Uuid::now_v7(),
            role: "THERAPIST".into(),
            sid: Uuid::now_v7(),
            jti: Uuid::now_v7(),
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            iat: now.timestamp(),
            exp: now.timestamp() + 1800,
        }
    }

    #[test]
    fn a_token_is_good_until_it_ends() {
        let (tokens, now) = (tokens(&"k".repeat(32)), DateTime::UNIX_EPOCH);
        let token = tokens.sign(&claims(now)).expect("signs");
        assert!(tokens.verify(&token, now + TimeDelta::seconds(1799)).is_some());
        assert!(tokens.verify(&token, now + TimeDelta::seconds(1800)).is_none());
    }

    #[test]
    fn tokens_of_others_are_not_good() {
        let (mine, now) = (tokens(&"k".repeat(32)), DateTime::UNIX_EPOCH);
        let foreign = tokens(&"x".repeat(32)).sign(&claims(now)).expect("signs");
        let other_audience = mine.sign(&Claims { aud: "elsewhere".into(), ..claims(now) }).expect("signs");
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJ4In0.";
        let good = mine.sign(&claims(now)).expect("signs");
        let tampered = format!("{}x", &good[..good.len() - 1]);
        for token in [foreign.as_str(), &other_audience, unsigned, &tampered, "", "a.b.c"] {
            assert!(mine.verify(token, now).is_none(), "{token}");
        }
    }

    #[test]
    fn a_token_outlives_the_rotation_of_its_key_until_the_key_is_dropped() {
        let [old, new, newest] = ["o", "n", "x"].map(|letter| letter.repeat(32));
        let now = DateTime::UNIX_EPOCH;
        let token = tokens(&old).sign(&claims(now)).expect("signs");
        assert!(rotated(&new, &[&old]).verify(&token, now).is_some());
        assert!(rotated(&newest, &[&new, &old]).verify(&token, now).is_some());
        assert!(rotated(&newest, &[&new]).verify(&token, now).is_none(), "dropped");
    }

    #[test]
    fn only_the_present_key_signs() {
        let (old, new, now) = ("o".repeat(32), "n".repeat(32), DateTime::UNIX_EPOCH);
        let token = rotated(&new, &[&old]).sign(&claims(now)).expect("signs");
        assert!(tokens(&old).verify(&token, now).is_none());
        assert!(tokens(&new).verify(&token, now).is_some());
    }
}

//! Configuration: one small struct a concern, every field names its environment variable. The only place that
//! reads the environment. A bad value stops the start, with the variable's name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use object_store::ObjectStoreScheme;
use secrecy::SecretString;
use url::Url;

pub use self::ai::{AiConfig, OpenAiConfig, PricesConfig, ProviderConfig};
pub use self::rate::Rate;
pub use self::retention::{CleanupConfig, PurgeConfig};

mod ai;
mod rate;
pub mod retention;

/// What the libraries below us have to say at `info` is for their authors.
const QUIET: &str = "info,apalis_core=warn,sea_orm_migration=warn,sqlx=warn,symphonia=warn";

/// A variable holds something that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    variable: String,
    problem: String,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server listens.
    pub http: HttpConfig,
    /// How often things may be asked for.
    pub limits: LimitsConfig,
    /// Where rows are kept.
    pub database: DatabaseConfig,
    /// Where files are kept.
    pub storage: StorageConfig,
    /// Tokens and passwords.
    pub auth: AuthConfig,
    /// The audit trail.
    pub audit: AuditConfig,
    /// Speech recognition and note extraction.
    pub ai: AiConfig,
    /// Uploads.
    pub upload: UploadConfig,
    /// Jobs.
    pub worker: WorkerConfig,
    /// The clock of analytics.
    pub analytics: AnalyticsConfig,
    /// The letters of exports.
    pub fonts: FontsConfig,
    /// Documents for download.
    pub exports: ExportsConfig,
    /// What others are told of.
    pub webhooks: WebhooksConfig,
    /// Files that are kept no longer.
    pub cleanup: CleanupConfig,
    /// Rows that are kept no longer.
    pub purge: PurgeConfig,
    /// Logs.
    pub log: LogConfig,
}

/// Where the server listens and whom it answers.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `HOST`, `PORT`.
    pub address: SocketAddr,
    /// `CORS_ALLOWED_ORIGINS`, comma separated.
    pub cors_allowed_origins: Vec<String>,
    /// `TRUSTED_PROXIES`, comma separated: whose word on a client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// `OPS_TOKEN`: opens `/metrics` and the details of `/health` to others than this machine.
    pub ops_token: Option<SecretString>,
    /// `GRAPHIQL`: whether `/graphiql` is served.
    pub graphiql: bool,
    /// `INTROSPECTION`: whether the schema may be asked for.
    pub introspection: bool,
    /// `GRAPHQL_GET`: whether GET runs queries.
    pub graphql_get: bool,
    /// `SHUTDOWN_TIMEOUT_SECONDS`: how long requests and jobs may go on after a signal.
    pub shutdown_timeout: Duration,
}

/// How often things may be asked for, `off` is no limit; and how much at a time.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// `RATE_LIMIT_LOGIN`: log-ins of one address, and of one account from one network; and proofs, by a password or a
    /// code, of one user who is logged in.
    pub log_in: Option<Rate>,
    /// `RATE_LIMIT_SIGNUP`: sign-ups of one address.
    pub sign_up: Option<Rate>,
    /// `RATE_LIMIT_EXPORTS`: exports of one user.
    pub exports: Option<Rate>,
    /// `RATE_LIMIT_WEBHOOKS`: deliveries that one user asks for by hand.
    pub webhooks: Option<Rate>,
    /// `RATE_LIMIT_UPLOADS`: requests of one user to `/uploads`; in each process.
    pub uploads: Option<Rate>,
    /// `RATE_LIMIT_DOWNLOADS`: requests of one user for files; in each process.
    pub downloads: Option<Rate>,
    /// `RATE_LIMIT_REQUESTS`: root fields of one user, or of one address where nobody is logged in; in each process.
    pub requests: Option<Rate>,
    /// `QUERY_COST_LIMIT`: points of one operation.
    pub query_cost: u64,
    /// `MAX_SOCKETS_PER_USER`: sockets and event streams of one user, or of one address where nobody is logged in; in each
    /// process.
    pub sockets: usize,
}

/// Where rows are kept.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`; without it a private cluster is used.
    pub url: Option<SecretString>,
    /// `DATABASE_MAX_CONNECTIONS` of this process.
    pub max_connections: u32,
    /// `DATA_DIR`: the private cluster, the files, the models and the generated key live here.
    pub data_dir: PathBuf,
    /// `PG_BIN`: folder of the PostgreSQL binaries for the private cluster.
    pub pg_bin: Option<PathBuf>,
}

/// Where files are kept.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// `STORAGE_URL`, if it names an object store.
    pub remote: Option<RemoteConfig>,
    /// Else the folder that `STORAGE_URL` names, or `DATA_DIR/files`.
    pub files_dir: PathBuf,
    /// `DATA_DIR/spool`: uploads on their way.
    pub spool_dir: PathBuf,
    /// `UPLOAD_COMMIT_SECONDS`: a complete upload without a row after so long is removed.
    pub commit_window: Duration,
}

/// An object store.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// `STORAGE_URL`: `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`.
    pub url: Url,
    /// What is named `AWS_…`, `GOOGLE_…` or `AZURE_…`, in lower case: region, address, keys.
    pub options: Vec<(String, SecretString)>,
    /// `STORAGE_TIMEOUT_SECONDS` of one request.
    pub timeout: Duration,
}

/// Tokens and passwords.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `JWT_SECRET`; without it one is generated and kept in `DATA_DIR/jwt_secret`.
    pub jwt_secret: Option<SecretString>,
    /// `JWT_PREVIOUS_SECRETS`, comma separated: verify, and sign no more.
    pub jwt_previous_secrets: Vec<SecretString>,
    /// Where the generated one is kept.
    pub jwt_secret_file: PathBuf,
    /// `ACCESS_TOKEN_MINUTES`.
    pub access_token_ttl: Duration,
    /// `REFRESH_TOKEN_DAYS`.
    pub refresh_token_ttl: Duration,
}

/// The audit trail.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// `AUDIT_KEY`; without it one is generated and kept in `DATA_DIR/audit_key`.
    pub key: Option<SecretString>,
    /// Where the generated one is kept.
    pub key_file: PathBuf,
    /// `AUDIT_HEAD_FILE`: where the signed head of the chain is kept.
    pub head_file: PathBuf,
}

/// Uploads.
#[derive(Clone, Debug)]
pub struct UploadConfig {
    /// `MAX_UPLOAD_MB`.
    pub max_bytes: u64,
    /// `MAX_RECORDING_HOURS`.
    pub max_duration: Duration,
    /// `MAX_UNFINISHED_UPLOADS` of one therapist.
    pub max_unfinished: NonZeroU32,
    /// `UNFINISHED_UPLOADS_MB` of one therapist, all together.
    pub max_unfinished_bytes: u64,
    /// `UPLOAD_EXPIRES_HOURS`: an unfinished upload that gets nothing for so long is removed.
    pub expires: Duration,
    /// How long the next bytes of an upload in parts may take. Not a variable: tests shorten it.
    pub idle: Duration,
    /// So much of a request is kept in one go: a crash loses no more. Not a variable: tests shorten it.
    pub part_bytes: u64,
}

impl UploadConfig {
    fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let megabytes = |variable, default| {
            let wanted = "a whole number of at least 1";
            vars.parse::<NonZeroU32>(variable, default, wanted).map(|number| u64::from(number.get()) << 20)
        };
        Ok(Self {
            max_bytes: megabytes("MAX_UPLOAD_MB", "100")?,
            max_duration: vars.duration("MAX_RECORDING_HOURS", "6", 3600)?,
            max_unfinished: vars.parse("MAX_UNFINISHED_UPLOADS", "10", "a whole number of at least 1")?,
            max_unfinished_bytes: megabytes("UNFINISHED_UPLOADS_MB", "500")?,
            expires: retention::UNFINISHED_UPLOADS.period(vars)?,
            idle: Duration::from_secs(30),
            part_bytes: 8 << 20,
        })
    }
}

/// Jobs.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// `WORKER_CONCURRENCY`: jobs of one kind at a time, in this process.
    pub concurrency: NonZeroUsize,
    /// `JOB_LEASE_SECONDS`: after so long without a sign of life a worker's jobs go to others.
    pub lease: Duration,
    /// `PIECE_SECONDS`: recordings are recognised in pieces of at most this length; the provider's own if not set.
    pub piece: Option<Duration>,
    /// Delay before the second attempt; doubles from there. Not a variable: tests shorten it.
    pub backoff: Duration,
}

/// The clock of analytics.
#[derive(Clone, Copy, Debug)]
pub struct AnalyticsConfig {
    /// `ENABLE_ANALYTICS_SCHEDULER`: whether the nightly and weekly runs are asked for by this process.
    pub scheduled: bool,
    /// `DAILY_AGGREGATION_HOUR`, 0 to 23, of the nightly run.
    pub daily_hour: u32,
    /// `SCHEDULER_TIMEZONE`: where it is that hour.
    pub zone: Tz,
}

impl AnalyticsConfig {
    fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            scheduled: vars.parse("ENABLE_ANALYTICS_SCHEDULER", "true", "true or false")?,
            daily_hour: vars.parse::<Hour>("DAILY_AGGREGATION_HOUR", "0", "an hour, 0 to 23")?.0,
            zone: vars.parse("SCHEDULER_TIMEZONE", "Etc/UTC", "an IANA time zone such as Europe/Berlin")?,
        })
    }
}

/// Documents for download.
#[derive(Clone, Copy, Debug)]
pub struct ExportsConfig {
    /// `EXPORT_RETENTION_DAYS`: how long a file is kept after it was made.
    pub retention: Duration,
}

/// What others are told of.
#[derive(Clone, Debug)]
pub struct WebhooksConfig {
    /// `WEBHOOK_ALLOW_PRIVATE`: whether addresses of this machine and of private networks may be told; for development.
    pub allow_private: bool,
    /// `WEBHOOK_TIMEOUT_SECONDS` of one attempt.
    pub timeout: Duration,
    /// `WEBHOOK_CONCURRENCY`: attempts at a time, in this process.
    pub concurrency: NonZeroUsize,
    /// Waits between the attempts. Not a variable: tests shorten them.
    pub waits: Vec<Duration>,
}

impl WebhooksConfig {
    fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        // As Standard Webhooks recommends: 75 hours and 35 minutes in all.
        const HOUR: u64 = 3600;
        let waits = [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        let timeout = vars.seconds("WEBHOOK_TIMEOUT_SECONDS", "15")?;
        if timeout > Duration::from_secs(60) {
            return Err(ConfigError {
                variable: "WEBHOOK_TIMEOUT_SECONDS".into(),
                problem: format!("expected 1 to 60 seconds, found {}", timeout.as_secs()),
            });
        }
        Ok(Self {
            allow_private: vars.parse("WEBHOOK_ALLOW_PRIVATE", "false", "true or false")?,
            timeout,
            concurrency: vars.parse("WEBHOOK_CONCURRENCY", "16", "a whole number of at least 1")?,
            waits: waits.map(Duration::from_secs).to_vec(),
        })
    }
}

/// An hour of a day, 0 to 23.
struct Hour(u32);

impl FromStr for Hour {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|hour| *hour < 24).map(Self).ok_or(())
    }
}

/// The letters of exports.
#[derive(Clone, Debug)]
pub struct FontsConfig {
    /// `FONT_DIR`: fonts for what those of the program do not have; looked at before the machine's.
    pub folder: Option<PathBuf>,
}

impl FontsConfig {
    fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let folder = vars.get("FONT_DIR").map(PathBuf::from);
        match &folder {
            Some(folder) if !folder.is_dir() => Err(ConfigError {
                variable: "FONT_DIR".into(),
                problem: format!("{} is not a folder", folder.display()),
            }),
            _ => Ok(Self { folder }),
        }
    }
}

/// Logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `LOG_FORMAT`: `pretty` or `json`.
    pub json: bool,
    /// `LOG_LEVEL`: a tracing filter, `warn`, `therapybridge=debug,warn`; `info` with quiet libraries if not set.
    pub filter: String,
}

impl Config {
    /// Whether the keys of a service are there. Processes of a private database share a data directory, and the keys that
    /// are made in it; those of a server of its own may each have another directory, and would not agree.
    ///
    /// # Errors
    /// [`ConfigError`] names the key that has to be set.
    pub fn check_keys(&self) -> Result<(), ConfigError> {
        let missing = match (&self.database.url, &self.auth.jwt_secret, &self.audit.key) {
            (Some(_), None, _) => "JWT_SECRET",
            (Some(_), Some(_), None) => "AUDIT_KEY",
            _ => return Ok(()),
        };
        let problem = "has to be set where DATABASE_URL is, the same in every process, at least 32 bytes; \
            `openssl rand -base64 48` makes a good one";
        Err(ConfigError { variable: missing.into(), problem: problem.into() })
    }

    /// Reads `.env`, if there is one, and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] names the first variable whose value cannot be used.
    pub fn from_env() -> Result<Self, ConfigError> {
        match dotenvy::dotenv() {
            Err(error) if !error.not_found() => {
                // The error quotes the line, which may hold a secret.
                let problem =
                    "cannot be read: is every line NAME=value, and every value with a space in quotes?";
                return Err(ConfigError { variable: ".env".into(), problem: problem.into() });
            }
            _ => {}
        }
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self::from_vars(std::env::vars_os().filter_map(text).collect())
    }

    /// Reads a set of variables; empty values count as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names the first variable whose value cannot be used.
    pub fn from_vars(vars: HashMap<String, String>) -> Result<Self, ConfigError> {
        let vars = Vars(vars);
        let data_dir = PathBuf::from(vars.text("DATA_DIR", "./data"));
        Ok(Self {
            http: HttpConfig {
                address: SocketAddr::new(
                    vars.parse::<IpAddr>("HOST", "127.0.0.1", "an IP address")?,
                    vars.parse("PORT", "8000", "a port, 0 to 65535")?,
                ),
                cors_allowed_origins: vars.origins("CORS_ALLOWED_ORIGINS")?,
                trusted_proxies: vars.networks("TRUSTED_PROXIES")?,
                ops_token: vars.secret("OPS_TOKEN"),
                graphiql: vars.parse("GRAPHIQL", "true", "true or false")?,
                introspection: vars.parse("INTROSPECTION", "true", "true or false")?,
                graphql_get: vars.parse("GRAPHQL_GET", "false", "true or false")?,
                shutdown_timeout: vars.seconds("SHUTDOWN_TIMEOUT_SECONDS", "20")?,
            },
            limits: LimitsConfig {
                log_in: vars.rate("RATE_LIMIT_LOGIN", "5/1m")?,
                sign_up: vars.rate("RATE_LIMIT_SIGNUP", "3/1h")?,
                exports: vars.rate("RATE_LIMIT_EXPORTS", "20/1h")?,
                webhooks: vars.rate("RATE_LIMIT_WEBHOOKS", "60/1h")?,
                uploads: vars.rate("RATE_LIMIT_UPLOADS", "600/1m")?,
                downloads: vars.rate("RATE_LIMIT_DOWNLOADS", "600/1m")?,
                requests: vars.rate("RATE_LIMIT_REQUESTS", "100/1m")?,
                query_cost: vars.positive("QUERY_COST_LIMIT", "50000")?,
                sockets: vars
                    .parse::<NonZeroUsize>("MAX_SOCKETS_PER_USER", "20", "a whole number of at least 1")?
                    .get(),
            },
            database: DatabaseConfig {
                url: vars.secret("DATABASE_URL"),
                max_connections: vars
                    .parse::<NonZeroU32>("DATABASE_MAX_CONNECTIONS", "20", "a whole number of at least 1")?
                    .get(),
                pg_bin: vars.get("PG_BIN").map(PathBuf::from),
                data_dir: data_dir.clone(),
            },
            storage: StorageConfig::from_vars(&vars, &data_dir)?,
            auth: AuthConfig {
                jwt_secret: signing_keys("JWT_SECRET", vars.get("JWT_SECRET"))?.pop(),
                jwt_previous_secrets: signing_keys(
                    "JWT_PREVIOUS_SECRETS",
                    vars.get("JWT_PREVIOUS_SECRETS").into_iter().flat_map(|secrets| secrets.split(',')),
                )?,
                jwt_secret_file: data_dir.join("jwt_secret"),
                access_token_ttl: vars.duration("ACCESS_TOKEN_MINUTES", "30", 60)?,
                refresh_token_ttl: retention::REFRESH_TOKENS.period(&vars)?,
            },
            audit: AuditConfig {
                key: signing_keys("AUDIT_KEY", vars.get("AUDIT_KEY"))?.pop(),
                key_file: data_dir.join("audit_key"),
                head_file: vars
                    .get("AUDIT_HEAD_FILE")
                    .map_or_else(|| data_dir.join("audit_head"), PathBuf::from),
            },
            ai: AiConfig::from_vars(&vars, &data_dir)?,
            upload: UploadConfig::from_vars(&vars)?,
            worker: WorkerConfig {
                concurrency: vars.parse("WORKER_CONCURRENCY", "2", "a whole number of at least 1")?,
                lease: vars.seconds("JOB_LEASE_SECONDS", "3")?,
                piece: vars.get("PIECE_SECONDS").map(|_| vars.seconds("PIECE_SECONDS", "")).transpose()?,
                backoff: Duration::from_secs(5),
            },
            analytics: AnalyticsConfig::from_vars(&vars)?,
            fonts: FontsConfig::from_vars(&vars)?,
            exports: ExportsConfig { retention: retention::EXPORTS.period(&vars)? },
            webhooks: WebhooksConfig::from_vars(&vars)?,
            cleanup: CleanupConfig::from_vars(&vars)?,
            purge: PurgeConfig::from_vars(&vars)?,
            log: LogConfig {
                json: vars.parse::<LogFormat>("LOG_FORMAT", "pretty", "pretty or json")? == LogFormat::Json,
                filter: vars.text("LOG_LEVEL", QUIET),
            },
        })
    }
}

impl StorageConfig {
    fn from_vars(vars: &Vars, data_dir: &Path) -> Result<Self, ConfigError> {
        let (remote, files_dir) = match vars.storage_url("STORAGE_URL")? {
            None => (None, data_dir.join("files")),
            Some(StorageUrl::Folder(folder)) => (None, folder),
            Some(StorageUrl::Store(url)) => {
                let options = vars.starting_with(&["aws_", "google_", "azure_"]);
                let timeout = vars.seconds("STORAGE_TIMEOUT_SECONDS", "20")?;
                (Some(RemoteConfig { url, options, timeout }), data_dir.join("files"))
            }
        };
        let commit_window = retention::UPLOADS_BEFORE_COMMIT.period(vars)?;
        Ok(Self { remote, files_dir, spool_dir: data_dir.join("spool"), commit_window })
    }
}

/// What `STORAGE_URL` can name.
enum StorageUrl {
    Folder(PathBuf),
    Store(Url),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LogFormat {
    Pretty,
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// The variables, with readers for the kinds of values there are.
struct Vars(HashMap<String, String>);

impl Vars {
    fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn text(&self, variable: &str, default: &str) -> String {
        self.get(variable).unwrap_or(default).to_owned()
    }

    /// Comma separated; each a scheme and a host, as browsers send them.
    fn origins(&self, variable: &str) -> Result<Vec<String>, ConfigError> {
        let origins =
            self.get(variable).unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty());
        let sane =
            |origin: &str| Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
        origins
            .map(|origin| if sane(origin) { Ok(origin.to_owned()) } else { Err(origin) })
            .collect::<Result<_, _>>()
            .map_err(|origin| ConfigError {
                variable: variable.into(),
                problem: format!("expected origins such as https://app.example.com, found {origin:?}"),
            })
    }

    /// Comma separated; each an address, or a network such as 10.0.0.0/8.
    fn networks(&self, variable: &str) -> Result<Vec<IpNet>, ConfigError> {
        let networks =
            self.get(variable).unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty());
        let parse = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        networks
            .map(|text| {
                let problem = format!("expected addresses or networks such as 10.0.0.0/8, found {text:?}");
                parse(text).map_err(|_| ConfigError { variable: variable.into(), problem })
            })
            .collect()
    }

    fn storage_url(&self, variable: &str) -> Result<Option<StorageUrl>, ConfigError> {
        let Some(text) = self.get(variable) else { return Ok(None) };
        let url = Url::parse(text).ok();
        let scheme = url.as_ref().and_then(|url| Some(ObjectStoreScheme::parse(url).ok()?.0));
        let found = url.zip(scheme).and_then(|(url, scheme)| match scheme {
            ObjectStoreScheme::Local => url.to_file_path().ok().map(StorageUrl::Folder),
            ObjectStoreScheme::AmazonS3
            | ObjectStoreScheme::GoogleCloudStorage
            | ObjectStoreScheme::MicrosoftAzure => Some(StorageUrl::Store(url)),
            _ => None,
        });
        let wanted = "s3://bucket/folder, gs://bucket/folder, az://container/folder or file:///folder";
        let problem = format!("expected {wanted}, found {text:?}");
        found.map(Some).ok_or_else(|| ConfigError { variable: variable.to_owned(), problem })
    }

    /// Those whose names begin so, in lower case.
    fn starting_with(&self, prefixes: &[&str]) -> Vec<(String, SecretString)> {
        let lower = |name: &String| (name.to_ascii_lowercase(), self.secret(name));
        let named = self.0.keys().map(lower).filter_map(|(name, value)| Some((name, value?)));
        named.filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix))).collect()
    }

    fn rate(&self, variable: &str, default: &str) -> Result<Option<Rate>, ConfigError> {
        if self.get(variable) == Some("off") {
            return Ok(None);
        }
        self.parse(variable, default, "off, or a rate such as 5/1m (units s, m, h, d)").map(Some)
    }

    fn secret(&self, variable: &str) -> Option<SecretString> {
        self.get(variable).map(SecretString::from)
    }

    fn parse<T: FromStr>(&self, variable: &str, default: &str, wanted: &str) -> Result<T, ConfigError> {
        let value = self.get(variable).unwrap_or(default);
        value.parse().map_err(|_| ConfigError {
            variable: variable.into(),
            problem: format!("expected {wanted}, found {value:?}"),
        })
    }

    fn positive(&self, variable: &str, default: &str) -> Result<u64, ConfigError> {
        match self.parse(variable, default, "a whole number of at least 1")? {
            0 => Err(ConfigError {
                variable: variable.into(),
                problem: "expected a whole number of at least 1, found 0".into(),
            }),
            number => Ok(number),
        }
    }

    fn duration(&self, variable: &str, default: &str, unit_seconds: u64) -> Result<Duration, ConfigError> {
        let number = self.positive(variable, default)?;
        // A century is enough for everything here, and dates can still be added to.
        let seconds = number.checked_mul(unit_seconds).filter(|seconds| *seconds <= 100 * 366 * 86_400);
        seconds.map(Duration::from_secs).ok_or_else(|| ConfigError {
            variable: variable.into(),
            problem: format!("{number} is too large"),
        })
    }

    fn seconds(&self, variable: &str, default: &str) -> Result<Duration, ConfigError> {
        self.duration(variable, default, 1)
    }
}

/// Keys of HMAC-SHA-256: shorter ones than its output could be guessed.
fn signing_keys<'a>(
    variable: &str,
    secrets: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<SecretString>, ConfigError> {
    let secrets = secrets.into_iter().map(str::trim).filter(|secret| !secret.is_empty());
    let strong = |secret: &str| (secret.len() >= 32).then(|| secret.into());
    secrets.map(strong).collect::<Option<_>>().ok_or_else(|| ConfigError {
        variable: variable.into(),
        problem: "needs at least 32 bytes; `openssl rand -base64 48` makes a good one".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_vars(vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = config(&[]).expect("defaults are good");
        assert_eq!(config.http.address.to_string(), "127.0.0.1:8000");
        assert_eq!(config.upload.max_bytes, 100 * 1024 * 1024);
        assert!(config.ai.is_local());
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (variable, value) in [
            ("PORT", "eighty"),
            ("FONT_DIR", "/nowhere/fonts"),
            ("CORS_ALLOWED_ORIGINS", "https://app.example.com, app.example.org"),
            ("HOST", "nowhere"),
            ("TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
            ("TRUSTED_PROXIES", "10.0.0.0/33"),
            ("RATE_LIMIT_LOGIN", "five"),
            ("RATE_LIMIT_SIGNUP", "0/1h"),
            ("RATE_LIMIT_EXPORTS", "20/h"),
            ("RATE_LIMIT_REQUESTS", "100/2y"),
            ("RATE_LIMIT_WEBHOOKS", "x"),
            ("WEBHOOK_ALLOW_PRIVATE", "yes"),
            ("WEBHOOK_TIMEOUT_SECONDS", "0"),
            ("WEBHOOK_TIMEOUT_SECONDS", "61"),
            ("WEBHOOK_CONCURRENCY", "0"),
            ("WEBHOOK_DELIVERY_RETENTION_DAYS", "0"),
            ("RATE_LIMIT_UPLOADS", "many"),
            ("MAX_UPLOAD_MB", "0"),
            ("MAX_UNFINISHED_UPLOADS", "0"),
            ("UNFINISHED_UPLOADS_MB", "x"),
            ("UPLOAD_EXPIRES_HOURS", "0"),
            ("STORAGE_URL", "bucket"),
            ("STORAGE_URL", "ftp://store.example.com/bucket"),
            ("STORAGE_URL", "http://store.example.com/bucket"),
            ("UPLOAD_COMMIT_SECONDS", "0"),
            ("ORPHANED_FILE_RETENTION_HOURS", "off"),
            ("FAILED_SESSION_RETENTION_DAYS", "0"),
            ("AUDIO_RETENTION_DAYS", "0"),
            ("AUTO_CLEANUP_ON_STARTUP", "yes"),
            ("DAILY_CLEANUP_HOUR", "24"),
            ("EVENT_RETENTION_DAYS", "0"),
            ("JWT_SECRET", "short"),
            ("JWT_PREVIOUS_SECRETS", "0123456789abcdef0123456789abcdef,short"),
            ("AUDIT_KEY", "short"),
            ("LOG_FORMAT", "xml"),
            ("WORKER_CONCURRENCY", "0"),
            ("DATABASE_MAX_CONNECTIONS", "0"),
            ("REFRESH_TOKEN_DAYS", "100000000"),
            ("ACCESS_TOKEN_MINUTES", "18446744073709551615"),
        ] {
            let error = config(&[(variable, value)]).expect_err(variable).to_string();
            assert!(error.starts_with(variable), "{error}");
        }
    }

    #[test]
    fn limits_can_be_set_and_switched_off() {
        let config = config(&[("RATE_LIMIT_LOGIN", "off"), ("RATE_LIMIT_SIGNUP", "7/30s")]).expect("good");
        assert_eq!(config.limits.log_in, None);
        assert_eq!(config.limits.sign_up.map(|rate| rate.window.as_secs()), Some(30));
        assert_eq!(config.limits.requests.map(|rate| rate.count.get()), Some(100));
    }

    #[test]
    fn trusted_proxies_are_addresses_and_networks() {
        let config = config(&[("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,::1")]).expect("good");
        let shown: Vec<_> = config.http.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
    }

    #[test]
    fn the_store_is_a_folder_or_an_object_store_with_its_options() {
        let local = config(&[("DATA_DIR", "/d")]).expect("good").storage;
        assert_eq!((local.files_dir, local.spool_dir), ("/d/files".into(), "/d/spool".into()));
        let folder = config(&[("STORAGE_URL", "file:///srv/files")]).expect("good").storage;
        assert!(folder.remote.is_none() && folder.files_dir == Path::new("/srv/files"));
        let set = [
            ("STORAGE_URL", "s3://bucket/folder"),
            ("AWS_REGION", "eu-1"),
            ("AWSOME", "x"),
            ("AWS_TOKEN", ""),
        ];
        let remote = config(&set).expect("good").storage.remote.expect("remote");
        assert_eq!(remote.url.as_str(), "s3://bucket/folder");
        assert_eq!(remote.options.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["aws_region"]);
    }

    #[test]
    fn keys_are_made_only_where_the_database_is_private() {
        let (url, key) = (("DATABASE_URL", "postgres://localhost/x"), "0123456789abcdef0123456789abcdef");
        let missing = |vars: &[(&str, &str)]| {
            config(vars).expect("good").check_keys().err().map(|error| error.variable)
        };
        assert_eq!(missing(&[]), None);
        assert_eq!(missing(&[url]).as_deref(), Some("JWT_SECRET"));
        assert_eq!(missing(&[url, ("JWT_SECRET", key)]).as_deref(), Some("AUDIT_KEY"));
        assert_eq!(missing(&[url, ("JWT_SECRET", key), ("AUDIT_KEY", key)]), None);
    }

    #[test]
    fn recordings_are_kept_for_ever_unless_a_period_is_set() {
        let kept = |vars: &[(&str, &str)]| config(vars).expect("good").cleanup.recordings;
        assert_eq!((kept(&[]), kept(&[("AUDIO_RETENTION_DAYS", "off")])), (None, None));
        assert_eq!(kept(&[("AUDIO_RETENTION_DAYS", "2")]), Some(Duration::from_secs(2 * 86_400)));
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = "0123456789abcdef0123456789abcdef";
        let set = ["JWT_SECRET", "JWT_PREVIOUS_SECRETS", "AUDIT_KEY", "OPENAI_API_KEY"];
        let store = [("STORAGE_URL", "s3://bucket"), ("AWS_SECRET_ACCESS_KEY", secret)];
        let set = set.into_iter().map(|variable| (variable, secret)).chain(store).collect::<Vec<_>>();
        let config = config(&set).expect("good");
        assert!(!format!("{config:?}").contains(secret));
    }
}

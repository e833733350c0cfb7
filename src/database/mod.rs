//! The database: a server named by `DATABASE_URL`, or a private cluster of our own; and its schema.

pub mod cluster;

use std::time::Duration;

use anyhow::{Context, ensure};
use apalis_postgres::PostgresStorage;
use migration::{Migrator, MigratorTrait};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, SqlxPostgresConnector, TransactionTrait};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use self::cluster::{Cluster, ClusterSettings};
use crate::config::DatabaseConfig;

/// The name of our database inside the private cluster.
const DATABASE: &str = "therapybridge";
/// Oldest server we run on.
const OLDEST_SERVER: i32 = 140_000;
/// Key of the advisory lock that lets one process at a time change the schema.
const MIGRATION_LOCK: i64 = 0x7468_6572_6170_7901;

/// A connection that does not answer a check for so long is no connection.
const CHECK_PATIENCE: Duration = Duration::from_secs(1);
/// A connection that answered so recently is used without another check: each costs a round trip.
const FRESH: Duration = Duration::from_millis(50);

/// An open database, and the private cluster under it where there is one.
#[derive(Debug)]
pub struct Database {
    options: PgConnectOptions,
    pool: PgPool,
    cluster: Option<Cluster>,
}

impl Database {
    /// Connects to `DATABASE_URL`, or starts or joins the private cluster.
    ///
    /// # Errors
    /// When the server cannot be reached or is too old; the message says what to do.
    pub async fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let (options, cluster) = match &config.url {
            Some(url) => (url.expose_secret().parse().context("DATABASE_URL")?, None),
            None => {
                let (options, cluster) = private_cluster(config).await?;
                (options, Some(cluster))
            }
        };
        let pool = connect(options.clone(), config.max_connections).await?;
        Ok(Self { options, pool, cluster })
    }

    /// The connections, as sqlx has them.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The connections, as the entities want them.
    #[must_use]
    pub fn connection(&self) -> DatabaseConnection {
        SqlxPostgresConnector::from_sqlx_postgres_pool(self.pool.clone())
    }

    /// Brings the schema up to date; concurrent starters do it once.
    ///
    /// # Errors
    /// When a migration fails; it is rolled back then.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        self.with_migration_lock(async || {
            PostgresStorage::<()>::setup(&self.pool).await?;
            Migrator::up(&self.connection(), None).await?;
            Ok(())
        })
        .await
    }

    /// Reverts the last `steps` migrations.
    ///
    /// # Errors
    /// When a migration fails; it is rolled back then.
    pub async fn migrate_down(&self, steps: u32) -> anyhow::Result<()> {
        self.with_migration_lock(async || Ok(Migrator::down(&self.connection(), Some(steps)).await?)).await
    }

    /// The migrations in order, each with whether it is applied.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn migration_status(&self) -> anyhow::Result<Vec<(String, bool)>> {
        let db = self.connection();
        let pending = Migrator::get_pending_migrations(&db).await?;
        let pending: Vec<_> = pending.iter().map(|migration| migration.name().to_owned()).collect();
        let all = Migrator::migrations().into_iter().map(|migration| migration.name().to_owned());
        Ok(all.map(|name| (name.clone(), !pending.contains(&name))).collect())
    }

    /// Starts the private cluster's server again if it died; a server named by `DATABASE_URL` is not ours to start.
    ///
    /// # Errors
    /// When it does not start; the message says what to do.
    pub async fn revive(&self) -> anyhow::Result<()> {
        match &self.cluster {
            Some(cluster) => Ok(cluster.ensure_running().await?),
            None => Ok(()),
        }
    }

    /// Closes the connections; leaves the private cluster, and stops it when nobody else uses it.
    pub async fn close(self) {
        self.pool.close().await;
        if let Some(cluster) = self.cluster
            && let Err(error) = cluster.close().await
        {
            tracing::warn!(%error, "the private database did not stop cleanly; the next start recovers it");
        }
    }

    /// Holds the lock on a connection outside the pool: it is released with the connection, whatever happens.
    async fn with_migration_lock(
        &self,
        work: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATION_LOCK).execute(&mut connection).await?;
        let result = work().await;
        connection.close().await?;
        result
    }
}

async fn private_cluster(config: &DatabaseConfig) -> anyhow::Result<(PgConnectOptions, Cluster)> {
    let cluster = Cluster::open(ClusterSettings {
        data_dir: config.data_dir.clone(),
        pg_bin: config.pg_bin.clone(),
        durable: true,
    })
    .await?;
    create_database(cluster.connect_options("postgres"), DATABASE).await?;
    Ok((cluster.connect_options(DATABASE), cluster))
}

/// Makes a database unless it exists.
///
/// # Errors
/// When the server refuses.
pub async fn create_database(server: PgConnectOptions, name: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&server).await?;
    let created =
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).execute(&mut connection).await;
    let exists = matches!(&created, Err(sqlx::Error::Database(error))
        if matches!(error.code().as_deref(), Some("42P04" | "23505")));
    connection.close().await?;
    if exists { Ok(()) } else { Ok(created.map(drop)?) }
}

/// Opens a pool, and checks that the server is one we know how to use.
///
/// # Errors
/// When it cannot be reached or is too old.
pub async fn connect(options: PgConnectOptions, max_connections: u32) -> anyhow::Result<PgPool> {
    // A pool waits and says no more than that it did: one connection of its own says what is wrong.
    let first = PgConnection::connect_with(&options).await;
    first
        .context("the database cannot be reached: is DATABASE_URL right, and the server up?")?
        .close()
        .await?;
    // Nothing is lost on the way to a server of the same machine: whether it answers sqlx asks by itself, but for ever.
    let is_local = options.get_socket().is_some();
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .after_release(move |connection, _| {
            Box::pin(async move { Ok(is_local || is_usable(connection).await?) })
        })
        .before_acquire(|connection, idle| {
            Box::pin(async move { Ok(idle.idle_for < FRESH || is_usable(connection).await?) })
        })
        .connect_with(options.application_name("therapybridge"))
        .await?;
    let version: i32 =
        sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&pool).await?;
    ensure!(version >= OLDEST_SERVER, "PostgreSQL 14 or newer is needed; the server is {}", version / 10_000);
    Ok(pool)
}

/// Looked at after each use, when nobody waits for it, and again before the next unless that follows at once. A connection
/// that does not answer is given up: somewhere on the way its answers are lost.
async fn is_usable(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(CHECK_PATIENCE, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Begins a transaction, in a task of its own, which goes on when whoever asked gives up. A `begin` that is given up before
/// its answer has come leaves a transaction open that sqlx (0.9.0) knows nothing of: what is written next on that connection
/// would seem to be done, and be lost when it closes.
///
/// # Errors
/// When the database does not answer.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let db = db.clone();
    #[expect(clippy::disallowed_methods, reason = "the one place where it is safe")]
    let begun = tokio::spawn(async move { db.begin().await }).await;
    begun.unwrap_or_else(|error| Err(DbErr::Custom(error.to_string())))
}

//! A private throw-away PostgreSQL cluster, started once a run; a migrated template; a database a test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use therapybridge::config::Config;
use therapybridge::database::cluster::{Cluster, ClusterSettings};
use therapybridge::database::{Database, create_database};
use tokio::sync::OnceCell;
use uuid::Uuid;

const TEMPLATE: &str = "template_therapybridge";

/// The URL of a new, empty, migrated database.
pub(crate) async fn fresh_database() -> String {
    let cluster = cluster().await;
    let name = format!("test_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect_with(&cluster.connect_options("postgres")).await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    url(cluster, &name)
}

/// The URL of a new database without any table.
pub(crate) async fn empty_database() -> String {
    let cluster = cluster().await;
    let name = format!("empty_{}", Uuid::now_v7().simple());
    create_database(cluster.connect_options("postgres"), &name).await.unwrap();
    url(cluster, &name)
}

/// Cuts a database off: its connections end, and there are no new ones, until they are let in again.
pub(crate) async fn let_in(url: &str, allowed: bool) {
    let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
    let mut connection =
        PgConnection::connect_with(&cluster().await.connect_options("postgres")).await.unwrap();
    for statement in [
        format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allowed}"),
        format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND NOT {allowed}"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

fn url(cluster: &Cluster, name: &str) -> String {
    cluster.connect_options(name).to_url_lossy().to_string()
}

async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER
        .get_or_init(|| async {
            let cluster = start().await;
            create_database(cluster.connect_options("postgres"), TEMPLATE).await.unwrap();
            let vars = [("DATABASE_URL".to_owned(), url(&cluster, TEMPLATE))];
            let database = Database::open(&Config::from_vars(vars.into()).unwrap().database).await.unwrap();
            database.migrate().await.unwrap();
            database.close().await;
            cluster
        })
        .await
}

async fn start() -> Cluster {
    let dir = world_readable_dir();
    let settings = ClusterSettings { data_dir: dir.clone(), pg_bin: None, durable: false };
    let cluster = Cluster::open(settings).await.unwrap();
    clean_up_afterwards(&dir);
    cluster
}

/// When the tests run as root, PostgreSQL runs as its own user, and must be able to get here.
pub(crate) fn world_readable_dir() -> PathBuf {
    let dir = tempfile::Builder::new().prefix("therapybridge-test-").tempdir().unwrap().keep();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A shell that waits for the end of this process, however it ends (its end closes the pipe), then stops the server and
/// removes its folder. A test binary has no end of its own where it could be done.
fn clean_up_afterwards(dir: &Path) {
    let script = r#"
        cat > /dev/null
        pid=$(head -n 1 "$1/postgres/postmaster.pid") && kill -INT "$pid"
        while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done
        rm -rf "$1""#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let shell = std::os::unix::process::CommandExt::process_group(&mut shell, 0).spawn().unwrap();
    // Neither waited for nor dropped: the pipe stays open as long as this process lives.
    std::mem::forget(shell);
}

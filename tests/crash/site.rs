//! A private PostgreSQL of this test's own, that loses nothing it has committed, and a database a run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use therapybridge::config::Config;
use therapybridge::database::cluster::{Cluster, ClusterSettings};
use therapybridge::database::{Database, create_database};

const TEMPLATE: &str = "template_therapybridge";

/// A database server, and the folder everything of it lies in.
pub(crate) struct Site {
    cluster: Cluster,
    pub(crate) folder: PathBuf,
}

impl Site {
    /// Starts the server. Its folder is in memory where there is room: what a crash of the *server* must not lose does
    /// not depend on the disk.
    pub(crate) async fn open() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder =
            tempfile::Builder::new().prefix("therapybridge-crash-").tempdir_in(parent).unwrap().keep();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        clean_up_afterwards(&folder);
        let settings = ClusterSettings { data_dir: folder.clone(), pg_bin: None, durable: true };
        let site = Self { cluster: Cluster::open(settings).await.unwrap(), folder };
        create_database(site.options("postgres"), TEMPLATE).await.unwrap();
        let vars = [("DATABASE_URL".to_owned(), site.options(TEMPLATE).to_url_lossy().to_string())];
        let database = Database::open(&Config::from_vars(vars.into()).unwrap().database).await.unwrap();
        database.migrate().await.unwrap();
        database.close().await;
        site
    }

    /// How to get to a database directly, whatever happens to the proxy.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        self.cluster.connect_options(database)
    }

    /// The URL of a database by way of a port of this machine.
    pub(crate) fn url(&self, database: &str, port: u16) -> String {
        let mut url = self.options(database).to_url_lossy();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "host" && name != "port")
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        url.to_string()
    }

    /// The file of the server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        let options = self.options("postgres");
        let folder = options.get_socket().expect("the path fits a socket");
        folder.join(format!(".s.PGSQL.{}", options.get_port()))
    }

    pub(crate) async fn create(&self, database: &str) {
        self.admin(&format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}")).await;
    }

    pub(crate) async fn drop(&self, database: &str) {
        self.admin(&format!("DROP DATABASE {database} WITH (FORCE)")).await;
    }

    async fn admin(&self, statement: &str) {
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// What `pg_ctl stop -m immediate` does: no goodbye, no checkpoint.
    pub(crate) async fn crash(&self) {
        let file = std::fs::read_to_string(self.folder.join("postgres/postmaster.pid")).unwrap();
        let pid = Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap();
        kill_process(pid, Signal::QUIT).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while alive(pid) {
            assert!(Instant::now() < deadline, "the database does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts the server again; it recovers from its write-ahead log.
    pub(crate) async fn revive(&self) {
        self.cluster.ensure_running().await.unwrap();
    }
}

/// The state of a process, as `/proc` has it: `S`, `T`, `Z`; `None` if there is none.
pub(crate) fn process_state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn alive(pid: Pid) -> bool {
    process_state(pid).is_some_and(|state| state != 'Z')
}

/// A shell that waits for the end of this process, however it ends (its end closes the pipe), then ends what was started
/// in the folder, and removes it.
fn clean_up_afterwards(folder: &Path) {
    let script = r#"
        cat > /dev/null
        for process in /proc/[0-9]*; do
            case $(readlink "$process/cwd") in "$1"/*) kill -KILL "${process#/proc/}";; esac
        done
        pid=$(head -n 1 "$1/postgres/postmaster.pid") && kill -QUIT "$pid"
        while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done
        rm -rf "$1""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(folder).current_dir("/");
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let shell = std::os::unix::process::CommandExt::process_group(&mut shell, 0).spawn().unwrap();
    // Neither waited for nor dropped: the pipe stays open as long as this process lives.
    std::mem::forget(shell);
}

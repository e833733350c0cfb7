//! Against a real Postgres.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::process::{Pid, Signal, getpgid, kill_process};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::pid_file::PidFile;
use super::*;

/// A data directory that the `postgres` user can reach.
fn data_dir() -> TempDir {
    data_dir_with(0o755)
}

fn data_dir_with(mode: u32) -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("tb-").permissions(Permissions::from_mode(mode)).tempdir_in("/tmp").unwrap()
}

fn settings(dir: &Path) -> ClusterSettings {
    ClusterSettings { data_dir: dir.to_owned(), pg_bin: None, durable: false }
}

async fn open(dir: &TempDir) -> Cluster {
    Cluster::open(settings(dir.path())).await.unwrap()
}

/// Created without syncing, which takes seconds; run with it.
async fn open_durable(dir: &TempDir) -> Cluster {
    open(dir).await.close().await.unwrap();
    Cluster::open(ClusterSettings { durable: true, ..settings(dir.path()) }).await.unwrap()
}

async fn refusal(dir: &TempDir) -> ClusterError {
    Cluster::open(settings(dir.path())).await.unwrap_err()
}

async fn ask(cluster: &Cluster, sql: &'static str) -> String {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

async fn note(cluster: &Cluster, text: &str) {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    sqlx::query("CREATE TABLE note (text text)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO note VALUES ($1)").bind(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn noted(cluster: &Cluster) -> String {
    ask(cluster, "SELECT text FROM note").await
}

fn pid_file(cluster: &Cluster) -> Option<PidFile> {
    PidFile::read(&cluster.site.folder).unwrap()
}

fn postmaster(cluster: &Cluster) -> Pid {
    Pid::from_raw(pid_file(cluster).unwrap().pid).unwrap()
}

/// What is left when our process is killed: a server, and nobody who holds the lease.
fn die(mut cluster: Cluster) -> Pid {
    drop(cluster.lease.take());
    postmaster(&cluster)
}

#[tokio::test]
async fn a_cluster_is_created_once_and_keeps_its_data() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    note(&cluster, "kept").await;
    cluster.close().await.unwrap();

    let cluster = open(&dir).await;
    assert_eq!(noted(&cluster).await, "kept");
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn two_starters_at_once_share_one_server() {
    let dir = data_dir();
    let (one, two) = tokio::join!(open(&dir), open(&dir));
    let started = "SELECT pg_postmaster_start_time()::text";
    assert_eq!(ask(&one, started).await, ask(&two, started).await);
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test]
async fn the_last_one_out_stops_the_server() {
    let dir = data_dir();
    let (one, two) = (open(&dir).await, open(&dir).await);
    let site = one.site.clone();
    one.close().await.unwrap();
    assert_eq!(ask(&two, "SELECT 'here'").await, "here");
    two.close().await.unwrap();
    assert_eq!(PidFile::read(&site.folder).unwrap(), None);
}

#[tokio::test]
async fn a_server_left_behind_by_a_killed_process_is_adopted() {
    let dir = data_dir();
    let left = die(open(&dir).await);
    let cluster = open(&dir).await;
    assert_eq!(postmaster(&cluster), left);
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_cluster_stops_and_the_next_start_waits_for_that() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    note(&cluster, "kept").await;
    let stopped = postmaster(&cluster);
    drop(cluster);
    let cluster = open(&dir).await;
    assert_ne!(postmaster(&cluster), stopped);
    assert_eq!(noted(&cluster).await, "kept");
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_recovers_with_its_data() {
    let dir = data_dir();
    let cluster = open_durable(&dir).await;
    note(&cluster, "kept").await;
    kill_process(postmaster(&cluster), Signal::KILL).unwrap();
    cluster.ensure_running().await.unwrap();
    assert_eq!(noted(&cluster).await, "kept");

    kill_process(die(cluster), Signal::KILL).unwrap();
    let cluster = open_durable(&dir).await;
    assert_eq!(noted(&cluster).await, "kept");
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn a_process_id_that_now_belongs_to_a_stranger_does_not_keep_the_server_from_starting() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    let stale = cluster.site.folder.join("postmaster.pid");
    let text = fs::read_to_string(&stale).unwrap();
    let rest = text.split_once('\n').unwrap().1.to_owned();
    cluster.close().await.unwrap();
    fs::write(&stale, format!("{}\n{rest}", std::process::id())).unwrap();
    open(&dir).await.close().await.unwrap();
}

#[tokio::test]
async fn a_creation_killed_half_way_leaves_nothing() {
    let dir = data_dir();
    fs::create_dir_all(dir.path().join("postgres.new-1/base")).unwrap();
    open(&dir).await.close().await.unwrap();
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    let expected = ["postgres", "postgres.lease", "postgres.lock", "postgres.password", "postgres.start.log"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_ctrl_c_in_our_terminal_does_not_reach_the_server() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    assert_eq!(getpgid(Some(postmaster(&cluster))).unwrap(), postmaster(&cluster));
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn the_server_is_not_on_the_network() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    assert_eq!(ask(&cluster, "SHOW listen_addresses").await, "");
    assert_eq!(fs::metadata(&cluster.site.folder).unwrap().mode() & 0o777, 0o700);
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn the_password_is_kept_from_others_and_is_needed() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    let path = cluster.site.password_file();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap().len(), 64);

    fs::write(&path, "guess").unwrap();
    let error = refusal(&dir).await;
    assert!(matches!(error, ClusterError::WrongPassword(_)), "{error}");
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn without_its_password_file_the_cluster_is_not_made_anew() {
    let dir = data_dir();
    open(&dir).await.close().await.unwrap();
    fs::remove_file(dir.path().join("postgres.password")).unwrap();
    let error = refusal(&dir).await;
    assert!(matches!(error, ClusterError::NoPassword(_)), "{error}");
}

#[tokio::test]
async fn a_durable_cluster_syncs_sums_and_sorts_by_code_point() {
    let dir = data_dir();
    let cluster = Cluster::open(ClusterSettings { durable: true, ..settings(dir.path()) }).await.unwrap();
    let shown = "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings
        WHERE name IN ('data_checksums', 'fsync', 'full_page_writes', 'server_encoding', 'synchronous_commit')";
    assert_eq!(ask(&cluster, shown).await, "on on on UTF8 on");
    assert_eq!(ask(&cluster, "SELECT lower('ÄÇ') || ('Z' < 'a')::text").await, "äçtrue");
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_start_shows_the_servers_log() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    let config = cluster.site.folder.join("postgresql.auto.conf");
    cluster.close().await.unwrap();
    fs::write(config, "no_such_setting = 1\n").unwrap();
    let error = refusal(&dir).await;
    assert!(matches!(error, ClusterError::Start(_)), "{error}");
    assert!(error.to_string().contains("unrecognized configuration parameter"), "{error}");
}

#[tokio::test]
async fn a_cluster_of_another_version_is_left_alone() {
    let dir = data_dir();
    let cluster = open(&dir).await;
    let version = cluster.site.folder.join("PG_VERSION");
    cluster.close().await.unwrap();
    fs::write(version, "12\n").unwrap();
    let error = refusal(&dir).await;
    assert!(matches!(error, ClusterError::WrongMajor { major: 12, .. }), "{error}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_private_folder_elsewhere() {
    let dir = data_dir();
    let long = dir.path().join("x".repeat(90));
    let cluster = Cluster::open(settings(&long)).await.unwrap();
    let Endpoint::Socket(folder, _) = cluster.endpoint.clone() else { panic!("{:?}", cluster.endpoint) };
    assert!(folder.starts_with("/tmp"));
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    cluster.close().await.unwrap();
    fs::remove_dir(folder).unwrap();
}

#[tokio::test]
async fn where_no_folder_is_private_the_server_listens_on_loopback_only() {
    let dir = data_dir();
    let long = dir.path().join("x".repeat(90));
    make_data_dir(&long).unwrap();
    let site = Site::locate(&long, Path::new(REFUGE)).await.unwrap();
    let taken = Path::new("/tmp").join(format!("tb-{}", site.name()));
    fs::create_dir(&taken).unwrap();
    let cluster = Cluster::open(settings(&long)).await.unwrap();
    assert!(matches!(cluster.endpoint, Endpoint::Loopback(_)));
    assert_eq!(ask(&cluster, "SHOW listen_addresses").await, "127.0.0.1");
    let guess = cluster.connect_options("postgres").password("guess");
    assert!(guess.connect().await.is_err());
    cluster.close().await.unwrap();
    fs::remove_dir(taken).unwrap();
}

#[tokio::test]
async fn as_root_a_data_directory_closed_to_the_postgres_user_links_to_a_cluster_elsewhere() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (dir, refuge) = (data_dir_with(0o700), data_dir());
    for _ in ["created", "reused"] {
        let cluster = Cluster::open_with_refuge(settings(dir.path()), refuge.path()).await.unwrap();
        assert!(cluster.site.folder.starts_with(refuge.path()));
        cluster.close().await.unwrap();
    }
    assert!(dir.path().join("postgres").is_symlink());
}

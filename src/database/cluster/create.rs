//! Creates the cluster: complete, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;
use tempfile::{Builder, TempDir};

use super::USER;
use super::binaries::Binaries;
use super::error::{ClusterError, Result, io_error, run_error};
use super::site::Site;

/// Text sorts by code point and knows every letter's case, the same on every machine.
const LOCALE: [&str; 3] = [
    "--encoding=UTF8",
    "--locale=C",
    if cfg!(target_os = "macos") { "--lc-ctype=UTF-8" } else { "--lc-ctype=C.UTF-8" },
];

/// Makes a cluster where there is none. The caller holds the lock that serialises this.
pub(super) async fn create(site: &Site, binaries: &Binaries, durable: bool) -> Result<()> {
    sweep(site)?;
    if read_password(site).is_err() {
        write_password(site)?;
    }
    let draft = draft(site)?;
    initdb(site, binaries, draft.path(), durable).await?;
    fs::rename(draft.path(), &site.folder).map_err(io_error("create", &site.folder))?;
    // The folder has moved: there is nothing left to remove.
    let _ = draft.keep();
    if durable { sync(site.home()) } else { Ok(()) }
}

/// The superuser's password.
pub(super) fn read_password(site: &Site) -> Result<SecretString> {
    let path = site.password_file();
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().into()),
        Ok(_) => Err(ClusterError::NoPassword(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(ClusterError::NoPassword(path)),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// Writes a new random password, readable by the server's user only.
fn write_password(site: &Site) -> Result<()> {
    let path = site.password_file();
    let password = hex::encode(rand::random::<[u8; 32]>());
    let written = Builder::new().prefix(&draft_prefix(site)).tempfile_in(site.home()).and_then(|mut file| {
        file.write_all(password.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    });
    let file = written.map_err(io_error("write", &path))?;
    site.give(file.path())?;
    file.persist(&path).map_err(|error| io_error("write", &path)(error.error))?;
    Ok(())
}

async fn initdb(site: &Site, binaries: &Binaries, folder: &Path, durable: bool) -> Result<()> {
    let program = binaries.initdb();
    let mut command = site.command(&program);
    command.arg("--pgdata").arg(folder).arg("--pwfile").arg(site.password_file()).args(["--username", USER]);
    command.args(["--auth=scram-sha-256", "--data-checksums", "--no-instructions"]).args(LOCALE);
    if !durable {
        command.arg("--no-sync");
    }
    let output = command.kill_on_drop(true).output().await.map_err(run_error(&program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ClusterError::Create(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// How the names of unfinished things begin.
fn draft_prefix(site: &Site) -> OsString {
    let path = site.folder.with_extension("new-");
    path.file_name().unwrap_or_default().to_owned()
}

fn draft(site: &Site) -> Result<TempDir> {
    let prefix = draft_prefix(site);
    let mut builder = Builder::new();
    builder.prefix(&prefix).permissions(Permissions::from_mode(0o700));
    let draft = builder.tempdir_in(site.home()).map_err(io_error("create a folder in", site.home()))?;
    site.give(draft.path())?;
    Ok(draft)
}

/// Removes what a creation left behind that was killed half-way.
fn sweep(site: &Site) -> Result<()> {
    let prefix = draft_prefix(site);
    let entries = fs::read_dir(site.home()).map_err(io_error("list", site.home()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("write", folder))
}

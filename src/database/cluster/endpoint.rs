//! Where the server is reached: a socket in a folder of its user's, or failing that the loopback interface.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::USER;
use super::error::{Result, io_error};
use super::site::Site;

/// The port, which for a socket is only part of its file's name.
const PORT: u16 = 5432;

/// How long a socket's path may be, in bytes; systems allow 104 or 108.
const PATH_LIMIT: usize = 100;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// On a Unix socket in this folder.
    Socket(PathBuf, u16),
    /// On this port of 127.0.0.1.
    Loopback(u16),
}

impl Endpoint {
    /// Where a server about to start shall listen.
    pub(super) fn choose(site: &Site) -> Result<Self> {
        if fits(&site.folder) {
            return Ok(Self::Socket(site.folder.clone(), PORT));
        }
        let folder = Path::new("/tmp").join(format!("tb-{}", site.name()));
        if make_private(&folder, site)? {
            return Ok(Self::Socket(folder, PORT));
        }
        tracing::warn!(folder = %folder.display(), "not ours alone: the database listens on 127.0.0.1 instead");
        free_port().map(Self::Loopback)
    }

    /// How to connect to the database `name` as the superuser.
    pub(super) fn options(&self, name: &str, password: &SecretString) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .username(USER)
            .password(password.expose_secret())
            .database(name)
            .ssl_mode(PgSslMode::Disable);
        match self {
            Self::Socket(folder, port) => options.socket(folder).port(*port),
            Self::Loopback(port) => options.host("127.0.0.1").port(*port),
        }
    }

    /// The server's settings that make it listen here and nowhere else.
    pub(super) fn settings(&self) -> [String; 3] {
        let (addresses, folders, port) = match self {
            Self::Socket(folder, port) => ("", quoted(folder), port),
            Self::Loopback(port) => ("127.0.0.1", String::new(), port),
        };
        [
            format!("listen_addresses={addresses}"),
            format!("unix_socket_directories={folders}"),
            format!("port={port}"),
        ]
    }
}

fn fits(folder: &Path) -> bool {
    let socket = folder.join(format!(".s.PGSQL.{PORT}"));
    socket.to_str().is_some_and(|path| path.len() < PATH_LIMIT)
}

/// The setting is a list: quotes keep a comma or a space in the path from splitting it.
fn quoted(folder: &Path) -> String {
    format!("\"{}\"", folder.display().to_string().replace('"', "\"\""))
}

/// Makes the folder, or says whether the one that is there belongs to the server's user alone.
fn make_private(folder: &Path, site: &Site) -> Result<bool> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => site.give(folder).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(folder).map_err(io_error("look at", folder))?;
            Ok(metadata.is_dir() && site.is_private(&metadata))
        }
        Err(_) => Ok(false),
    }
}

fn free_port() -> Result<u16> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
    any().map(|address| address.port()).map_err(io_error("listen on", Path::new("127.0.0.1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_keeps_the_server_off_the_network() {
        let settings = Endpoint::Socket(PathBuf::from("/a, b"), PORT).settings();
        assert_eq!(settings[..2], ["listen_addresses=", "unix_socket_directories=\"/a, b\""]);
    }

    #[test]
    fn a_long_path_does_not_fit_a_socket() {
        assert!(fits(Path::new("/var/lib/therapybridge/postgres")));
        assert!(!fits(&Path::new("/").join("x".repeat(90))));
    }
}

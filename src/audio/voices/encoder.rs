//! A second and a half of speech to a point on a sphere, near to other speech of the same person.
//!
//! The network is the voice encoder of Resemblyzer (Apache-2.0; three layers of LSTM and a projection,
//! trained on some thousand people to tell voices apart whatever they say), its weights rounded to a byte
//! each by `scripts/voice-encoder`.

use std::sync::LazyLock;

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};

use super::sound::BANDS;

/// Cells of a layer, and coordinates of a point.
pub(super) const SIZE: usize = 256;
const LAYERS: usize = 3;
/// Input gate, forget gate, candidate and output gate of every cell, in this order.
const GATES: usize = 4 * SIZE;

static WEIGHTS: &[u8] = include_bytes!("encoder.bin");

/// 6 MB that a process needs only once it has heard somebody.
static ENCODER: LazyLock<Encoder> = LazyLock::new(|| Encoder::read(WEIGHTS));

/// Where the speech of some windows stands: one point of length 1 for each.
pub(super) fn encode(windows: &[Array2<f32>]) -> Vec<Vec<f32>> {
    ENCODER.encode(windows)
}

struct Encoder {
    layers: Vec<Layer>,
    projection: Array2<f32>,
    bias: Array1<f32>,
}

struct Layer {
    /// Input and memory, one above the other, by gates.
    weights: Array2<f32>,
    bias: Array1<f32>,
}

impl Encoder {
    fn read(mut weights: &[u8]) -> Self {
        let layers =
            (0..LAYERS).map(|layer| Layer::read(if layer == 0 { BANDS } else { SIZE }, &mut weights));
        let layers = layers.collect();
        let mut projection = Array2::zeros((SIZE, SIZE));
        read_matrix(&mut weights, projection.view_mut());
        Self { layers, projection, bias: read_vector(&mut weights, SIZE) }
    }

    fn encode(&self, windows: &[Array2<f32>]) -> Vec<Vec<f32>> {
        let mut last = Array2::<f32>::zeros((windows.len(), SIZE));
        let mut states: Vec<State> =
            self.layers.iter().map(|layer| State::new(windows.len(), layer.weights.nrows())).collect();
        let steps = windows.iter().map(Array2::nrows).max().unwrap_or(0);
        for step in 0..steps {
            for (row, window) in windows.iter().enumerate().filter(|(_, window)| step < window.nrows()) {
                states[0].input.slice_mut(s![row, ..BANDS]).assign(&window.row(step));
            }
            for layer in 0..LAYERS {
                self.layers[layer].step(&mut states[layer]);
                if layer + 1 < LAYERS {
                    let (below, above) = states.split_at_mut(layer + 1);
                    above[0].input.slice_mut(s![.., ..SIZE]).assign(&below[layer].output());
                }
            }
            for (row, _) in windows.iter().enumerate().filter(|(_, window)| step + 1 == window.nrows()) {
                last.row_mut(row).assign(&states[LAYERS - 1].output().row(row));
            }
        }
        let projected = last.dot(&self.projection) + &self.bias;
        projected.axis_iter(Axis(0)).map(|row| normal(row.iter().map(|x| x.max(0.0)).collect())).collect()
    }
}

impl Layer {
    fn read(inputs: usize, from: &mut &[u8]) -> Self {
        let mut weights = Array2::zeros((inputs + SIZE, GATES));
        read_matrix(from, weights.slice_mut(s![..inputs, ..]));
        read_matrix(from, weights.slice_mut(s![inputs.., ..]));
        Self { weights, bias: read_vector(from, GATES) }
    }

    /// One moment of all windows.
    fn step(&self, state: &mut State) {
        let gates = state.input.dot(&self.weights) + &self.bias;
        let start = state.input.ncols() - SIZE;
        for ((mut row, gates), mut cells) in
            state.input.rows_mut().into_iter().zip(gates.rows()).zip(state.cells.rows_mut())
        {
            for cell in 0..SIZE {
                let [input, forget, candidate, output] = [0, 1, 2, 3].map(|gate| gates[gate * SIZE + cell]);
                let kept = sigmoid(forget) * cells[cell] + sigmoid(input) * candidate.tanh();
                cells[cell] = kept;
                row[start + cell] = sigmoid(output) * kept.tanh();
            }
        }
    }
}

/// What a layer remembers of every window, and what it is about to read.
struct State {
    /// The input, then what the layer gave out a moment before.
    input: Array2<f32>,
    cells: Array2<f32>,
}

impl State {
    fn new(windows: usize, width: usize) -> Self {
        Self { input: Array2::zeros((windows, width)), cells: Array2::zeros((windows, SIZE)) }
    }

    fn output(&self) -> ArrayView2<'_, f32> {
        let start = self.input.ncols() - SIZE;
        self.input.slice(s![.., start..])
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The same direction, of length 1; zero stays zero.
pub(super) fn normal(mut point: Vec<f32>) -> Vec<f32> {
    let length = point.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in &mut point {
            *x /= length;
        }
    }
    point
}

/// Reads a row of the file into each column.
fn read_matrix(from: &mut &[u8], mut into: ArrayViewMut2<'_, f32>) {
    for mut column in into.columns_mut() {
        let scale = read_vector(from, 1)[0];
        let (cells, rest) = from.split_at(column.len());
        *from = rest;
        for (number, cell) in column.iter_mut().zip(cells) {
            *number = f32::from(cell.cast_signed()) * scale;
        }
    }
}

fn read_vector(from: &mut &[u8], length: usize) -> Array1<f32> {
    let (numbers, rest) = from.split_at(length * 4);
    *from = rest;
    numbers.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

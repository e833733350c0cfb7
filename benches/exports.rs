//! What it takes to render 1, 50 and 500 sessions' notes as PDF and as DOCX, beside `WeasyPrint` and python-docx, which get
//! the same document. Each renders in a process of its own, so that its peak of memory is its own.
//!
//! `cargo bench --bench exports [sessions …]`; Python's packages are installed into `target/exports-peers`, and `WeasyPrint`
//! needs the machine's Pango (Debian: libpango-1.0-0 libpangoft2-1.0-0). Where they cannot be had, only our figures are printed.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use therapybridge::exports::{Fonts, docx, pdf};

#[expect(dead_code, reason = "the tests have more samples")]
#[path = "../tests/api/exports_render/sample.rs"]
mod sample;

/// What a run took.
struct Figures {
    pages: f64,
    /// Of one rendering.
    seconds: f64,
    peak_mb: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [child, format, sessions] = &arguments[..]
        && child == "render"
    {
        return render(format, sessions.parse().unwrap());
    }
    let asked: Vec<u32> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![1, 50, 500] } else { asked };
    let python = peers();
    for sessions in sizes {
        compare(sessions, python.as_deref());
    }
}

fn compare(sessions: u32, python: Option<&Path>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), serde_json::to_vec(&sample::notes(sessions)).unwrap()).unwrap();
    let mut pages = 0.0;
    for (format, peer) in [("pdf", "WeasyPrint"), ("docx", "python-docx")] {
        let own = figures(Command::new(std::env::current_exe().unwrap()).args([
            "render",
            format,
            &sessions.to_string(),
        ]));
        // A DOCX has as many pages as its reader makes of it: counted as the PDF's.
        pages = if format == "pdf" { own.pages } else { pages };
        print(format, sessions, "ours", pages, &own);
        let Some(python) = python else { continue };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/exports_peers.py");
        let theirs = figures(
            Command::new(python).arg(script).arg(format).arg(file.path()).arg(rounds(sessions).to_string()),
        );
        print(format, sessions, peer, if format == "pdf" { theirs.pages } else { pages }, &theirs);
        println!(
            "{format} {sessions:>4} sessions: {:.1} x the throughput, {:.3} of the memory",
            theirs.seconds / own.seconds,
            own.peak_mb / theirs.peak_mb
        );
    }
}

fn print(format: &str, sessions: u32, who: &str, pages: f64, figures: &Figures) {
    println!(
        "{format} {sessions:>4} sessions, {who:<11} {pages:>4.0} pages in {:>8.4} s: {:>7.1} pages/s; peak {:>6.1} MB",
        figures.seconds,
        pages / figures.seconds,
        figures.peak_mb
    );
}

/// Renders, and prints pages, seconds and megabytes.
fn render(format: &str, sessions: u32) {
    let (document, fonts) = (sample::notes(sessions), Fonts::new(None));
    let once = || match format {
        "pdf" => pdf::render(&document, &fonts, &mut |_| ()).unwrap(),
        _ => docx::render(&document, &fonts, &mut |_| ()).unwrap(),
    };
    let started = Instant::now();
    let pages = (0..rounds(sessions)).map(|_| once().pages.unwrap_or_default()).max().unwrap_or_default();
    let seconds = started.elapsed().as_secs_f64() / f64::from(rounds(sessions));
    println!("{pages} {seconds} {}", peak_mb());
}

/// How often a document is rendered: a short one often, for its time to be seen.
fn rounds(sessions: u32) -> u32 {
    (100 / sessions).clamp(1, 10)
}

fn figures(command: &mut Command) -> Figures {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    Figures { pages: numbers[0], seconds: numbers[1], peak_mb: numbers[2] }
}

/// The most memory this process ever held.
fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A Python with both packages.
fn peers() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/exports-peers");
    let python = folder.join("bin/python");
    let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let has_both = |python: &Path| runs(Command::new(python).args(["-c", "import docx, weasyprint"]));
    if !has_both(&python) {
        runs(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        runs(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "weasyprint==66.0",
            "python-docx==1.2.0",
        ]));
    }
    let found = has_both(&python).then_some(python);
    if found.is_none() {
        println!("WeasyPrint and python-docx cannot be had here: only our own figures");
    }
    found
}

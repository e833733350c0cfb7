//! Word error rate: how far a recognised text is from the true one.

/// Substituted, missing and added words, divided by the words of the truth. Case, punctuation and the difference
/// between `20` and `twenty` do not count.
pub(crate) fn word_error_rate(truth: &str, heard: &str) -> f64 {
    let truth = words(truth);
    let errors = distance(&truth, &words(heard));
    f64::from(errors) / f64::from(u32::try_from(truth.len()).expect("a text is shorter than that"))
}

/// The text of a script whose lines begin with a speaker (`T: Good afternoon.`), without the speakers.
pub(crate) fn without_speakers(script: &str) -> String {
    let line = |line: &str| line.split_once(": ").map_or(line, |(_, words)| words).to_owned();
    script.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Lower-case words; numbers up to 9,999 are spelled out.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('’', "'").replace('%', " percent ");
    let pieces = text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != ',');
    pieces.flat_map(spoken).filter(|word| !word.is_empty()).collect()
}

fn spoken(piece: &str) -> Vec<String> {
    // A comma is part of a number (`1,500`), or parts words.
    if let Ok(number) = piece.replace(',', "").parse::<u16>()
        && number < 10_000
    {
        return spelled(number);
    }
    piece.split(',').map(|word| word.trim_matches('\'').to_owned()).collect()
}

fn spelled(number: u16) -> Vec<String> {
    const ONES: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let join = |head: Vec<String>, unit: Option<&str>, rest: u16| {
        let unit = unit.map(str::to_owned);
        let rest = if rest == 0 { Vec::new() } else { spelled(rest) };
        head.into_iter().chain(unit).chain(rest).collect()
    };
    match number {
        0..20 => vec![ONES[usize::from(number)].to_owned()],
        20..100 => join(vec![TENS[usize::from(number / 10 - 2)].to_owned()], None, number % 10),
        100..1000 => join(spelled(number / 100), Some("hundred"), number % 100),
        _ => join(spelled(number / 1000), Some("thousand"), number % 1000),
    }
}

/// Levenshtein's distance, in words.
fn distance(truth: &[String], heard: &[String]) -> u32 {
    let mut row: Vec<u32> = (0..).take(heard.len() + 1).collect();
    for word in truth {
        let mut diagonal = row[0];
        row[0] += 1;
        for (i, other) in heard.iter().enumerate() {
            let substituted = diagonal + u32::from(word != other);
            diagonal = row[i + 1];
            row[i + 1] = substituted.min(diagonal + 1).min(row[i] + 1);
        }
    }
    row[heard.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_rate(truth: &str, heard: &str, expected: f64) {
        let rate = word_error_rate(truth, heard);
        assert!((rate - expected).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn case_punctuation_and_spelling_of_numbers_do_not_count() {
        assert_rate("Yes, I do - really. It's fine!", "yes i do, really it’s 'fine'", 0.0);
        assert_rate("Twenty-five people paid one thousand five hundred.", "25 people paid 1,500", 0.0);
        assert_rate("at three, four times, ten percent", "at 3, 4 times, 10%", 0.0);
    }

    #[test]
    fn each_kind_of_error_counts_once() {
        assert_rate("one two three four", "one too three four", 0.25);
        assert_rate("one two three four", "one three four", 0.25);
        assert_rate("one two three four", "one two or three four", 0.25);
        assert_rate("one two three four", "", 1.0);
    }

    #[test]
    fn speakers_are_not_words() {
        assert_eq!(without_speakers("T: Hello.\nC: It's: fine."), "Hello.\nIt's: fine.");
    }
}

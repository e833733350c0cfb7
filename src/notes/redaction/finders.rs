//! Finds a name, an address or a number in tokens, however it is spelled out.

use super::tokens::{Token, digits, mark, tens};

/// Tokens that a piece of a record takes up, from the first to before the last.
pub(super) type Span = std::ops::Range<usize>;

/// How careful to be with a part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// It is no other word: it is taken out wherever it stands.
    None,
    /// An everyday word ("may", "will"): only with a capital.
    Capital,
    /// A word that texts are full of ("an", "my", "de"): only beside another part of the name.
    Neighbour,
}

/// Names that are everyday words in lower case.
const EVERYDAY: &str = "will may hope grace mark rose joy art bill rich faith summer dawn sky rob drew sue pat jack frank \
    grant chase young long day rain river stone bush wood woods field fields king bishop cook baker miller mason \
    carter hunter taylor price love good best brown black white green gray grey little small short strong sharp \
    wise swift frost snow winter sunny ruby pearl amber angel destiny harmony melody august june april autumn dean earl \
    duke page paige read reed gene guy jay ray victor max pierce trust case chance brook brooks lake hill hall park \
    parks church bell ball bird fox wolf lamb fish berry ivy daisy lily violet iris basil ginger sage clay cliff dale \
    glen heath lane penny robin star storm west north east south english french german welsh moon sun ernst gross klein \
    jung lang kurz schwarz weiss kaiser koch sommer herbst engel vogel stein berg fuchs roth neu";
/// Words that no text can do without, and particles of names.
const EVERYWHERE: &str = "a an and as at be but by de del den der di do da dos das du el en er es et for go ha he her hi \
    him his i ich if im in is it la las le les los man me my no nor not of oh on or ou she so te ten the ti to too tu \
    um un und up us van von we y you zu zum zur all any can did few has had one two see say way who why how now our \
    out old new bin ibn al abu";

impl Care {
    pub(super) fn of(part: &str) -> Self {
        let among = |list: &str| list.split_whitespace().any(|word| word == part);
        if among(EVERYWHERE) {
            Self::Neighbour
        } else if among(EVERYDAY) {
            Self::Capital
        } else {
            Self::None
        }
    }
}

/// A name at `at`: one token, or up to four that make it together ("O Neill", "Anna Lena"). A possessive or plural "s"
/// may follow.
pub(super) fn name(tokens: &[Token], at: usize, name: &str, care: Care) -> Option<Span> {
    let mut said = String::new();
    let mut parts = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        if token.line != tokens[at].line {
            return None;
        }
        if !token.is_word {
            if parts > 0 && matches!(token.folded.as_str(), "-" | "\u{2010}" | "\u{2011}") {
                continue;
            }
            return None;
        }
        said.push_str(&token.folded);
        parts += 1;
        let whole = said == name || is_plural(&said, name);
        let joined = parts == 1 || care == Care::None && (name.len() >= 4 || !name.is_ascii());
        if whole && joined && (care != Care::Capital || token.has_capital) {
            return Some(at..end + 1);
        }
        if parts == 1 && token.folded.is_empty()
            || parts >= name.chars().count().min(4)
            || !name.starts_with(&said)
        {
            return None;
        }
    }
    None
}

/// "Marias" for "Maria's": recognisers leave the apostrophe out.
fn is_plural(said: &str, name: &str) -> bool {
    name.chars().count() >= 4 && said.strip_suffix('s') == Some(name)
}

/// An e-mail address at `at`, written or read out: "maria dot santos at example dot com".
pub(super) fn email(tokens: &[Token], at: usize, address: &str) -> Option<Span> {
    let start = tokens.get(at).filter(|token| token.is_word)?;
    if !readings(start).iter().any(|reading| !reading.is_empty() && address.starts_with(reading.as_str())) {
        return None;
    }
    spelled(tokens, at, address, true).map(|end| at..end)
}

/// The end of what spells `rest` from `at` on.
fn spelled(tokens: &[Token], at: usize, rest: &str, first: bool) -> Option<usize> {
    if rest.is_empty() {
        return Some(at);
    }
    let token = tokens.get(at)?;
    let read = readings(token).into_iter().find_map(|reading| {
        let rest = rest.strip_prefix(reading.as_str()).filter(|_| !reading.is_empty())?;
        spelled(tokens, at + 1, rest, false)
    });
    // Pauses, brackets and quotes stand for nothing, and a dot is easily swallowed.
    read.or_else(|| (!first && !token.is_word).then(|| spelled(tokens, at + 1, rest, false)).flatten())
        .or_else(|| spelled(tokens, at, rest.strip_prefix('.').filter(|_| !first && token.is_word)?, false))
}

fn readings(token: &Token) -> Vec<String> {
    let word = &token.folded;
    let spoken =
        [mark(word).map(str::to_owned), digits(word), tens(word).map(|tens| (tens * 10).to_string())];
    let parts = tens(word).map(|tens| tens.to_string());
    [word.clone()].into_iter().chain(spoken.into_iter().flatten()).chain(parts).collect()
}

/// Digits that tell a number from others: its end.
const TELLING: usize = 7;

/// A phone number at `at`, in digits or in words, with whatever between them, with or without the country's code.
pub(super) fn phone(tokens: &[Token], at: usize, number: &str) -> Option<Span> {
    let (said, end) = number_at(tokens, at)?;
    let telling = &number[number.len().saturating_sub(TELLING)..];
    let found = if number.len() < TELLING { said == number } else { said.contains(telling) };
    found.then_some(at..end)
}

/// The longest row of digits that starts at `at`, and the token after it.
fn number_at(tokens: &[Token], at: usize) -> Option<(String, usize)> {
    let mut said = String::new();
    let mut end = at;
    let mut next = at;
    while let Some(token) = tokens.get(next) {
        let word = token.folded.as_str();
        let times = match word {
            "double" | "doppel" => 2,
            "triple" => 3,
            _ => 1,
        };
        if let Some(digits) = digits(word).filter(|_| token.is_word) {
            said.push_str(&digits);
            end = next + 1;
        } else if let Some(tens) = tens(word) {
            let unit =
                tokens.get(next + 1).and_then(|after| digits(&after.folded)).filter(|unit| unit.len() == 1);
            let unit = unit.filter(|unit| unit != "0" && tokens[next + 1].is_word);
            next += usize::from(unit.is_some());
            said.push_str(&tens.to_string());
            said.push_str(unit.as_deref().unwrap_or("0"));
            end = next + 1;
        } else if times > 1 {
            if let Some(digit) = tokens.get(next + 1).and_then(|after| digits(&after.folded)) {
                said.push_str(&digit.repeat(times));
                next += 1;
                end = next + 1;
            }
        } else if said.is_empty() && word != "+" && word != "plus" || !is_between(token) {
            break;
        }
        next += 1;
    }
    (!said.is_empty()).then_some((said, end))
}

/// What may stand between the digits of one number.
fn is_between(token: &Token) -> bool {
    const WORDS: &str = "plus and then um uh dash und";
    if token.is_word {
        WORDS.split(' ').any(|word| word == token.folded)
    } else {
        ".,-/()+\u{2013}\u{2026}:;".contains(&token.folded)
    }
}

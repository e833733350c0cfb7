//! Which words a quote may differ in and still say the same.
//!
//! A quote that is "nearly" in the transcript is dangerous where the difference is the point: "I don't want to die" must
//! never hold up "I want to die". So differences are allowed one by one, not forbidden one by one: words that carry no
//! meaning may come or go, and a word may be spelled or inflected otherwise. Everything else, and every word on the lists of
//! [`GUARDED`], must stand there as it was said.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Comes and goes without changing what is said.
const FILLERS: &str = "a an the and um umm uh uhm er erm ah oh eh hm hmm mm mhm huh well okay then anyway";
/// Does the same, unless there is a negation: "not really" is not "not".
const DEGREES: &str = "really very just actually basically literally like so that also too even";
/// Negations, and what turns a statement round or takes it back.
const NEGATIONS: &str = "no not never none nobody nothing nowhere neither nor without hardly barely scarcely seldom \
    rarely yes but unless except instead rather almost nearly maybe perhaps possibly if";
/// Who it is about.
const PERSONS: &str = "i me my mine myself you your yours yourself yourselves he him his himself she her hers herself \
    it its itself we us our ours ourselves they them their theirs themselves one someone somebody everyone everybody \
    anyone anybody people patient client therapist doctor mother mom mum mummy father dad daddy parent parents \
    brother sister son daughter child children kid kids baby husband wife partner boyfriend girlfriend friend \
    family boss colleague man woman boy girl name";
/// What danger is spoken of with, and safety.
const RISKS: &str = "kill kills killed killing die dies died dying dead death suicide suicidal suicides murder end ends \
    ended ending life lives live living alive hurt hurts hurting harm harms harmed harming cut cuts cutting burn burns \
    burned burning bleed blood hang hanging jump jumping drown drowning shoot shooting gun guns knife knives blade \
    blades razor rope bridge train pill pills tablets overdose overdosed overdosing poison attempt attempts attempted \
    plan plans planned planning hope hopes hopeless hopelessness worthless pointless helpless useless safe safety unsafe \
    danger dangerous risk hit hits hitting beat beats beating slap slapped punch punched choke choked strangle hate \
    threaten threatened threatening threat abuse abuses abused abusing abusive rape raped assault assaulted touch \
    touched violence violent drink drinks drinking drank drunk drug drugs alcohol cocaine heroin weed pot sober \
    relapse relapsed relapsing addicted medication medications dose voice voices hear hears hearing heard paranoid \
    control weapon weapons starve starving purge purging vomit vomiting starved";

/// What a word is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Comes and goes.
    Filler,
    /// Comes and goes where nothing is negated.
    Degree,
    /// Negates; stands as it was said.
    Negation,
    /// A person, a number, a danger; stands as it was said.
    Guarded,
    /// May be spelled or inflected otherwise.
    Plain,
}

static GUARDED: LazyLock<HashMap<&'static str, Role>> = LazyLock::new(|| {
    let lists = [
        (FILLERS, Role::Filler),
        (DEGREES, Role::Degree),
        (PERSONS, Role::Guarded),
        (RISKS, Role::Guarded),
        (NEGATIONS, Role::Negation),
    ];
    lists.iter().flat_map(|(list, role)| list.split_whitespace().map(|word| (word, *role))).collect()
});

/// What this token is.
pub(super) fn role(token: &str) -> Role {
    let number = token.contains(|c: char| c.is_numeric()) || is_ordinal(token);
    GUARDED.get(token).copied().unwrap_or(if number { Role::Guarded } else { Role::Plain })
}

fn is_ordinal(token: &str) -> bool {
    const COUNTS: &str = "first second third fourth fifth sixth seventh eighth ninth tenth half quarter once twice \
        double triple dozen dozens hundred hundreds thousand thousands million";
    COUNTS.split_whitespace().any(|count| count == token)
}

/// Words of informal speech, and what they stand for.
const SPOKEN: [(&str, &str); 22] = [
    ("ain't", "is not"),
    ("alright", "all right"),
    ("can't", "can not"),
    ("cannot", "can not"),
    ("coz", "because"),
    ("cuz", "because"),
    ("em", "them"),
    ("gonna", "going to"),
    ("gotta", "got to"),
    ("kinda", "kind of"),
    ("let's", "let us"),
    ("nah", "no"),
    ("nope", "no"),
    ("ok", "okay"),
    ("shan't", "shall not"),
    ("sorta", "sort of"),
    ("til", "until"),
    ("till", "until"),
    ("wanna", "want to"),
    ("won't", "will not"),
    ("yeah", "yes"),
    ("yep", "yes"),
];
const NUMBERS: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
    sixteen seventeen eighteen nineteen twenty";
const TENS: &str = "thirty forty fifty sixty seventy eighty ninety";
/// After these, "'s" is "is"; after anything else it may be a possessive.
const BEFORE_IS: &str = "it that there here what where who how he she";

/// What a folded word stands for: contractions in full, numbers in digits, spoken forms as they are written.
pub(super) fn in_full(word: &str) -> Vec<String> {
    if let Ok(at) = SPOKEN.binary_search_by_key(&word, |pair| pair.0) {
        return SPOKEN[at].1.split(' ').map(str::to_owned).collect();
    }
    contracted(word).unwrap_or_else(|| vec![digits(word).unwrap_or_else(|| word.to_owned())])
}

fn contracted(word: &str) -> Option<Vec<String>> {
    if let Some(verb) = word.strip_suffix("n't") {
        return Some(vec![verb.to_owned(), "not".into()]);
    }
    let (stem, ending) = word.split_once('\'')?;
    let full = match ending {
        "m" => "am",
        "re" => "are",
        "ve" => "have",
        "ll" => "will",
        "d" => "would",
        "s" if BEFORE_IS.split_whitespace().any(|before| before == stem) => "is",
        _ => return None,
    };
    Some(vec![stem.to_owned(), full.to_owned()])
}

fn digits(word: &str) -> Option<String> {
    let place = |list: &str| list.split_whitespace().position(|number| number == word);
    place(NUMBERS).or_else(|| Some(place(TENS)? * 10 + 30)).map(|number| number.to_string())
}

/// Whether two words are one, spelled or inflected otherwise: "realise" and "realize", "worry" and "worrying". Not so
/// the past and the present, which are two statements, and nothing that is guarded.
pub(super) fn alike(a: &str, b: &str) -> bool {
    a.chars().next() == b.chars().next()
        && role(a) == Role::Plain
        && role(b) == Role::Plain
        && (same_stem(a, b) || same_spelling(a, b))
}

fn same_spelling(a: &str, b: &str) -> bool {
    let long = a.chars().count().min(b.chars().count()) >= 7;
    let one_grows = a.starts_with(b) || b.starts_with(a);
    long && !one_grows && strsim::damerau_levenshtein(a, b) == 1
}

fn same_stem(a: &str, b: &str) -> bool {
    a != b && stem(a).is_some_and(|stem_of_a| stem(b) == Some(stem_of_a))
}

/// Without the endings of plural, third person and present participle; `None` where nothing is left to compare.
fn stem(word: &str) -> Option<String> {
    let bare = if let Some(bare) = word.strip_suffix("ing") {
        undoubled(bare)
    } else if let Some(bare) = word.strip_suffix("ies") {
        return long_enough(format!("{bare}y"));
    } else if word.ends_with("ss") {
        word.to_owned()
    } else {
        ["ches", "shes", "xes", "sses"]
            .iter()
            .find(|ending| word.ends_with(*ending))
            .map_or(word.strip_suffix('s').unwrap_or(word), |_| &word[..word.len() - 2])
            .to_owned()
    };
    long_enough(bare.strip_suffix('e').unwrap_or(&bare).to_owned())
}

fn long_enough(stem: String) -> Option<String> {
    (stem.chars().count() >= 3).then_some(stem)
}

/// "runn" of "running" is "run"; "call" of "calling" stays, and so does "miss".
fn undoubled(bare: &str) -> String {
    let mut chars = bare.chars().rev();
    match (chars.next(), chars.next()) {
        (Some(last), Some(before)) if last == before && !"lsz".contains(last) => {
            chars.rev().chain([last]).collect()
        }
        _ => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contractions_and_numbers_are_read_in_full() {
        for (word, full) in [
            ("don't", "do not"),
            ("won't", "will not"),
            ("cannot", "can not"),
            ("i'm", "i am"),
            ("it's", "it is"),
            ("mother's", "mother's"),
            ("gonna", "going to"),
            ("twelve", "12"),
            ("fifty", "50"),
        ] {
            assert_eq!(in_full(word).join(" "), full);
        }
    }

    #[test]
    fn spelling_and_inflection_may_differ() {
        for (a, b) in [
            ("worry", "worrying"),
            ("sleep", "sleeping"),
            ("run", "running"),
            ("write", "writing"),
            ("worries", "worry"),
            ("exercises", "exercise"),
            ("realise", "realize"),
            ("behaviour", "behavior"),
        ] {
            assert!(alike(a, b) && alike(b, a), "{a} {b}");
        }
    }

    #[test]
    fn tense_polarity_and_guarded_words_may_not() {
        for (a, b) in [
            ("want", "wanted"),
            ("sleep", "slept"),
            ("happy", "unhappy"),
            ("hopeful", "hopeless"),
            ("better", "bitter"),
            ("plan", "plans"),
            ("hurting", "hurt"),
            ("brother", "brothers"),
            ("his", "this"),
            ("patient", "patience"),
            ("realise", "realised"),
            ("can", "cans"),
            ("able", "unable"),
            ("love", "live"),
            ("started", "stopped"),
        ] {
            // "cans" is the plural of "can": a difference that says nothing.
            assert_eq!(alike(a, b), a == "can", "{a} {b}");
        }
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(SPOKEN.is_sorted_by_key(|pair| pair.0));
    }
}

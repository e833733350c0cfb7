use super::screen;
use crate::ai::RiskKind::{
    self, AbuseOrNeglect, HarmToOthers, Hopelessness, LossOfControl, Other, PastAttempt, Psychosis,
    SafetyPlan, SelfHarm, SubstanceUse, SuicidalIdeation, SuicideMeansOrPlan,
};
use crate::ai::TranscriptLine;
use crate::ai::extractive::samples::{lines, recut, session};

fn line(text: &str) -> Vec<TranscriptLine> {
    lines(text)
}

fn kinds(text: &str) -> Vec<RiskKind> {
    screen(&line(text)).into_iter().map(|flag| flag.kind).collect()
}

fn assert_each(kind: RiskKind, texts: &[&str]) {
    let missed: Vec<_> = texts.iter().filter(|text| !kinds(text).contains(&kind)).collect();
    assert!(missed.is_empty(), "{kind:?} missed in {missed:#?}");
}

fn assert_none(texts: &[&str]) {
    let wrong: Vec<_> =
        texts.iter().map(|text| (text, kinds(text))).filter(|(_, found)| !found.is_empty()).collect();
    assert!(wrong.is_empty(), "flagged for nothing: {wrong:#?}");
}

#[test]
fn suicidal_thoughts_are_found() {
    assert_each(
        SuicidalIdeation,
        &[
            "Some days I just want to die.",
            "I keep thinking about killing myself.",
            "I can't stop thinking about ending my life.",
            "Honestly, I wish I could go to sleep and never wake up.",
            "They would all be better off without me.",
            "I don't want to be here anymore.",
            "I don't know if I want to live.",
            "Not a day goes by without me thinking about suicide.",
            "When I'm on the platform I imagine stepping in front of the train.",
            "I haven't told anyone that I want to die.",
            "Sometimes I hope a car hits me on the way home.",
            "I wish I had never been born.",
            "I wouldn't care if I died tonight.",
            "I'm tired of being alive.",
            "I'd kill myself if she left.",
            "If he ever leaves me, I will kill myself.",
            "I'm not sleeping, and most nights I think of suicide.",
            "im so tired i dont want to live anymore",
        ],
    );
}

#[test]
fn means_plans_and_attempts_are_found() {
    assert_each(
        SuicideMeansOrPlan,
        &[
            "I've been saving up my tablets since March.",
            "I know exactly how I would do it.",
            "There's a gun in the closet, and I know where the bullets are.",
            "Last night I wrote goodbye letters to the children.",
            "I looked up how many pills it would take.",
            "I bought a rope on Monday.",
        ],
    );
    assert_each(
        PastAttempt,
        &[
            "I tried to kill myself when I was at college.",
            "Two years ago I overdosed.",
            "I swallowed a whole bottle of painkillers once.",
            "That was my second suicide attempt.",
            "They had to have my stomach pumped.",
            "I cut my wrists when I was sixteen.",
        ],
    );
}

#[test]
fn hopelessness_is_found() {
    assert_each(
        Hopelessness,
        &[
            "There's no point in going on.",
            "I don't see any point in living.",
            "Nothing is ever going to get better.",
            "I feel completely hopeless.",
            "I can't see a future for myself.",
            "There is no way out.",
            "I have nothing left to live for.",
            "I can't go on like this.",
            "My life is meaningless.",
        ],
    );
}

#[test]
fn self_harm_and_loss_of_control_are_found() {
    assert_each(
        SelfHarm,
        &[
            "I started cutting again last week.",
            "I burned myself with a cigarette on purpose.",
            "The urge to hurt myself comes at night.",
            "There are fresh cuts on my arm.",
            "I scratch my arms until they bleed.",
        ],
    );
    assert_each(
        LossOfControl,
        &[
            "I don't trust myself around the pills.",
            "I'm afraid I might do something stupid.",
            "I don't think I can keep myself safe tonight.",
            "I'm scared of what I might do.",
            "I can't promise that I won't do anything.",
        ],
    );
}

#[test]
fn harm_abuse_substances_and_psychosis_are_found() {
    assert_each(
        HarmToOthers,
        &[
            "I keep thinking about hurting my boss.",
            "I hit my son yesterday, and I hate it.",
            "I want to kill him for what he did.",
        ],
    );
    assert_each(
        AbuseOrNeglect,
        &[
            "My husband hit me again on Saturday.",
            "He grabbed me by the throat.",
            "My stepfather touched me when I was ten.",
            "He threw a plate at me.",
            "I was sexually abused as a child.",
            "My boyfriend won't let me see my friends.",
            "I'm afraid of going home.",
        ],
    );
    assert_each(
        SubstanceUse,
        &[
            "I get through six beers a night.",
            "I drink until I pass out.",
            "I've been taking double the dose of my Xanax.",
            "I relapsed on Friday.",
            "I drove home drunk.",
            "I can't fall asleep without a few drinks.",
            "I'm smoking weed every day just to calm down.",
        ],
    );
    assert_each(
        Psychosis,
        &[
            "I hear voices when nobody is there.",
            "The voices tell me to do things.",
            "The neighbors are spying on me.",
            "The television is sending me messages.",
            "There is a chip in my head.",
        ],
    );
}

#[test]
fn other_dangers_and_safety_plans_are_found() {
    assert_each(
        Other,
        &[
            "My daughter says she wants to die.",
            "I haven't eaten anything in four days.",
            "I stopped taking my lithium.",
            "I fell asleep at the wheel on Tuesday.",
        ],
    );
    assert_each(
        SafetyPlan,
        &[
            "Let's write a safety plan together.",
            "If it gets worse, call the crisis line.",
            "Could your brother lock the pills away?",
            "Let's write down your warning signs.",
        ],
    );
}

#[test]
fn denials_are_not_flagged() {
    assert_none(&[
        "No thoughts of suicide.",
        "I have never thought about killing myself.",
        "I don't want to die.",
        "I don't think I want to die.",
        "I would never kill myself.",
        "It's not that I want to die.",
        "No, I'm not suicidal, and I'm not cutting myself.",
        "Killing myself is not an option for me.",
        "I haven't had a drink in three years.",
        "I stopped drinking every night in May.",
        "I don't hear voices or anything.",
        "Nobody hits me.",
        "He has never hit me.",
        "I haven't hurt myself this week.",
    ]);
}

#[test]
fn questions_hypotheses_and_other_people_are_not_flagged() {
    assert_none(&[
        "Are you having thoughts of ending your life?",
        "Do you ever hear voices.",
        "If I ever wanted to die, I would call you.",
        "Have you been drinking every night?",
        "My brother drinks a bottle every night.",
        "My uncle killed himself in 1990.",
        "In the movie he wants to kill himself, and I thought it was boring.",
        "I read an article about suicide.",
        "Many people who are depressed have suicidal thoughts.",
        "My grandmother died in spring and I miss her.",
        "You noticed that you called yourself a burden.",
    ]);
}

#[test]
fn idioms_are_not_flagged() {
    assert_none(&[
        "This traffic is killing me.",
        "I'm dying to see the new place.",
        "I nearly died laughing.",
        "I wanted to die of embarrassment.",
        "There's no point in taking the bus.",
        "I don't see the point of that meeting.",
        "I cut myself shaving.",
        "I hurt myself playing football.",
        "I've been killing myself to get the report done.",
        "It hit me that I was lonely.",
        "He beat me at chess.",
        "I could kill for a coffee.",
        "I shot myself in the foot with that email.",
        "I beat myself up about it.",
        "I'm hopeless at cooking.",
        "I drink a bottle of water every morning.",
        "I had a glass of wine with dinner.",
        "I take my tablets every morning.",
        "I'm a bit addicted to my phone.",
        "We need to end it on a good note.",
        "I jumped at the chance.",
        "My heart was racing and I thought I was going to die.",
    ]);
}

#[test]
fn a_plain_yes_answers_for_the_question() {
    assert_eq!(kinds("Are you thinking about ending your life? Yes, sometimes."), [SuicidalIdeation]);
    assert_eq!(kinds("Do you feel safe at home? No."), [AbuseOrNeglect]);
    assert_none(&[
        "Are you thinking about ending your life? No.",
        "Do you feel safe at home? Yes.",
        "Are you well? Yes.",
    ]);
}

#[test]
fn a_recap_by_the_therapist_counts() {
    assert_eq!(kinds("So you have been thinking about killing yourself."), [SuicidalIdeation]);
}

#[test]
fn neighbouring_sentences_of_a_kind_are_one_quote() {
    let flags =
        screen(&line("I want to die. I think about killing myself. The bus was late. I want to die."));
    let quotes: Vec<_> = flags.iter().map(|flag| flag.quote.as_str()).collect();
    assert_eq!(quotes, ["I want to die. I think about killing myself.", "I want to die."]);
}

const EXPECTED: &[(RiskKind, &str)] = &[
    (Hopelessness, "I can't see the point of anything anymore."),
    (SuicidalIdeation, "Most nights I think about killing myself."),
    (SuicideMeansOrPlan, "On Friday night I took the bottle out and counted them, and then I put it away."),
    (PastAttempt, "I took too many pills and ended up in the hospital."),
    (SubstanceUse, "Almost a bottle every night since September."),
    (LossOfControl, "But when I'm alone at night, I don't trust myself."),
    (SafetyPlan, "I'd like us to make a safety plan together before you leave today."),
];

#[test]
fn every_risk_of_the_recorded_session_is_found_however_it_is_cut() {
    let turns = session("session_risk");
    for transcript in [turns.clone(), recut(&turns, 5), recut(&turns, 8), recut(&turns, 12)] {
        let flags = screen(&transcript);
        for (kind, quote) in EXPECTED {
            assert!(
                flags.iter().any(|flag| flag.kind == *kind && flag.quote.contains(quote)),
                "{kind:?} {flags:#?}"
            );
        }
    }
}

#[test]
fn the_sessions_without_risk_have_no_flag() {
    for name in ["session_anxiety", "session_long"] {
        let turns = session(name);
        for transcript in [turns.clone(), recut(&turns, 5), recut(&turns, 8), recut(&turns, 12)] {
            assert_eq!(screen(&transcript), [], "{name}");
        }
    }
}

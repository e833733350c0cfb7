//! Action items: sentences whose form sets, proposes or promises a task.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::pattern::{Pattern, any};
use super::sentences::Sentence;
use crate::ai::DraftItem;

/// At most so many action items a session.
const MOST: usize = 40;

/// What people do when they carry something out; feeling, thinking and trying are not among it.
const DOING: &str = "(call|text|email|phone|ring|write|put|keep|bring|take|go|buy|book|make|schedule|ask|\
    tell|talk|speak|walk|run|read|practice|practise|complete|do|use|set|start|stop|turn|leave|drink|cook|\
    visit|meet|join|sign|send|give|throw|move|add|plan|finish|download|print|look|check|pick|hand|lock|\
    delete|block|bake|paint|play|cycle|swim|log|record|fill|track|note|notice|clean|pack|return|get up|\
    get out|get a|get the|get my|eat|invite|apologize|contact|sleep|attend|stay|avoid|list|limit|cut|\
    mention|say|arrange|refer|come|pour|remove|hold|sit|spend|message|swap|replace|light|prepare|pay|\
    register|apply|refill|show)";

/// Forms of a task; `@do` is [`DOING`].
const FORMS: &[&str] = &[
    "(for|as) (your)? homework",
    "your (homework|task|assignment|goal|challenge) (for|this|until|is|will|could)",
    "homework (is|this week|will be|could be|for)",
    "(would like|want|would love|encourage|invite|would ask|need|will ask|am going to ask|would suggest) \
     (you|us) (both)? to (also)? (also|each|both|please)? (@do|try|complete|sign|see)",
    "(could|can|would|will|might) you (and ..4)? (also|please|maybe|perhaps)? (@do|try|practice|bring|be \
     willing|agree)",
    "would you (be willing|be open|be able|agree|consider|like) to ..1 (@do|try|signing|practice)",
    "(could|can|shall|should|might) we (also|maybe|perhaps|both)? (try|plan|agree|set|schedule|practice|\
     make|add|book|use|write|move|arrange|call|put|meet|keep|experiment|swap|start with)",
    "how about (you|we|trying|calling|writing|taking|starting|going|keeping|making|setting)",
    "what if (you|we) (tried|try|wrote|set|took|put|made|kept|called|went|left|started)",
    "(let us|lets) (also|maybe|please|now)? (try|plan|put|add|keep (the|a|your|that|this)|make (a|sure)|set|\
     agree|schedule|book|practice|write|aim|meet|use|call|arrange|experiment|do (one|the|a|this|that))",
    "please (also|just|do)? (keep|try|practice|write|mention|bring|call|make|take|ask|complete|fill|\
     schedule|note|remember|send|avoid|read|use|plan|put|talk|book|contact|check|leave|stay|get|set|track|\
     drink|eat) ..1 (a|an|the|your|to|that|this|me|it|two|one|three|down|some|with|at|if|both|her|him|them)",
    "(i|we) (would)? (suggest|recommend|propose) (that)? (you|we|trying|taking|calling|writing|going|making)",
    "(you|we) (could|can|might) ..1 (try|start by|practice|bring|write) ..10 (@when|every|next|before|each|\
     this|until)",
    "^ (then|so|and|okay|also|maybe|just)? (try|practice|keep|write|bring|call|make|take|use|remember to|\
     complete|notice|schedule|plan|go|read|track|set|pick|choose|start) ..12 (this week|this weekend|every \
     (day|evening|morning|night)|each (day|evening|morning|night)|twice a day|once a day|daily|before (our|\
     the) next|until (we|our|next)|by (@when)|tomorrow|tonight|next (week|time|session))",
    "who (could|can|would|will) ..1 (take|remove|keep|hold|stay|come|drive|bring|pick|lock|look after|be \
     with)",
    "i (will|am going to|shall) (also|just|definitely|then|still|call|go)? (@do) ..1",
    "i (will|am going to) not (judge|drink|check|answer|call|text|use|buy|go|look|open|take|skip|cancel|\
     read)",
    "(we|we both) (will|are going to) (also|then|both|just)? (meet|call|practice|review|schedule|make|go \
     over|check in|write|work on|look at|continue with|set|send|book|do)",
    "i (could|can|might) ..1 (@do) ..6 (on (@when)|tomorrow|tonight|this (week|weekend|afternoon|evening)|\
     next (week|@when)|every (day|@when)|before (our|the) next)",
    "i have been meaning to (@do)",
    "i (promise|agree|commit|promised myself) (to|that i will|i will) (@do|try)",
    "i would (also)? like to (refer|call|send|schedule|book|give you|check in|arrange|contact|invite|set up|\
     see you (again|on|next|twice))",
    "^ maybe ..3 (minutes|times|hours|pages|walk|walks) ..2 (on|every|each) (@when)",
    "(i am willing|i am ready|i am happy) to (@do|try) ..6 (@when|week|every|it)",
    "(next|first) (step|steps) (is|are|will be|would be) to",
    "the plan is (to|that)",
    "i (plan|intend|am planning) to (@do)",
    "(we|you) (have)? agreed (that (you|i|we)|to (@do|meet)|on)",
    "^ (so|and|just|also)? (try|remember) to (@do|notice|be)",
    "(between now and|before) (our next|next) (session|time|week|appointment|meeting)",
    "(made|booked|got|have) ..1 (an|a|the) appointment ..6 (tomorrow|on (@when)|next|this|for)",
    "(call|text) ..3 (crisis|hotline|helpline|988|nine eight eight) ..12",
];

/// Forms that only look like a task.
const NOT_TASKS: &[&str] = &[
    "(could|can|would|will|might) you (also|please|maybe)? (tell|describe|say (more|that|a|what)|explain|\
     remember|see|imagine|give me|help me|walk me|talk me|speak (up|more)|put (that|it) into|show me|look \
     at (that|it)|go (on|back))",
    "(what|how|where|why|which) ..3 (could|can|would|might|will|should) (you|we|i)",
    "would you (like to (tell|talk|say|start|share|go)|say (that|you|it|this))",
    "(want|would like|ask|need) you to (know|tell|understand|hear|imagine|picture|feel|think|close|rate|see|\
     believe|be|remember that)",
    "(could|can|shall|should) we (talk|start|look|go (back|on)|move on|continue|come back|begin|slow|pause|\
     use the time|make sense)",
    "let us (talk|start with|look|go|pause|build|see|move|say|take a (moment|look)|begin|keep going|slow|\
     stay with|make (this|it) (quick|clear))",
    "please (do|tell|come in|sit|go on|continue|take (your time|a seat)|make yourself|keep going|call me \
     by) $",
    "please (take your time|take a seat|make yourself|call me)",
    "i (will|am going to) (tell you|say (it|this|that)|go (crazy|mad|insane|on|first|ahead|back to)|get \
     (over|through|there|fired|sick|better|worse|in trouble|to)|start (by|crying|with)|be|make (a fool|it|\
     mistakes)|look (stupid|silly|foolish|weak)|do (my best|that|it)|sleep (better|well|at)|keep (going|\
     trying|failing|losing|feeling|thinking)|stay (like|alone|stuck|this)|leave it (there|at)|give (up|in)|\
     ask you (a|some|about|directly|something)|take (anything|it|that) |put it (this|that|another)|stop \
     (there|you)|never|use (this|that) (time|moment)|move on|note that|come across|hold that thought|eat \
     everything|talk too much|pay for)",
    "(afraid|scared|worry|worried|fear|fears|terrified|convinced|what if|keep thinking|panic) ..6 i (will|\
     am going to)",
    "(if|when|whenever|every time|once|sometimes|usually) ..5 i (am going to|will) (get|lose|make|start|go|\
     look|throw|stop)",
    "i (will|would) (tell|call|ask) you (if|when)",
    "(did|was|were|how (was|did)|last week|finished|forgot) ..6 homework",
    "homework (was|from last|last)",
    "(one day|some day|someday|eventually) i",
    "i would like to (move on|ask|talk|hear|know|start|come back|go back|understand|say)",
    "let us (put|set) (that|it|this) (aside|to one side)",
    "(could|can|would|will) you (do (that|it) $|take (it|that) (back|in)|hear)",
    "(can|could|will) you (believe|hear|see|stop|keep (it|your) (down|voice))",
    "i (could|can) (not|never)",
    "(that is|which is) why",
    "(he|she|they|mother|husband|wife|boss|manager|doctor|mom|dad) (says|said|told me|asked|asks|keeps \
     saying|wants|wanted) ..8 (could|can|would|will) (you|i|we)",
];

static TASKS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    FORMS.iter().map(|form| Pattern::new(&form.replace("(@do)", DOING).replace("@do", DOING))).collect()
});
static LOOKALIKES: LazyLock<Vec<Pattern>> = LazyLock::new(|| Pattern::all(NOT_TASKS));

/// Sentences that set, propose or promise a task, in order, each once.
pub(super) fn action_items(sentences: &[Sentence]) -> Vec<DraftItem> {
    let mut seen = HashSet::new();
    let tasks = sentences.iter().filter(|sentence| is_task(sentence));
    let fresh = tasks.filter(|sentence| seen.insert(&sentence.quote));
    fresh.take(MOST).map(item).collect()
}

fn is_task(sentence: &Sentence) -> bool {
    sentence.words.len() >= 4 && any(&TASKS, &sentence.words) && !any(&LOOKALIKES, &sentence.words)
}

fn item(sentence: &Sentence) -> DraftItem {
    DraftItem { text: sentence.quote.clone(), quote: sentence.quote.clone(), segment: sentence.segment }
}

#[cfg(test)]
mod tests {
    use super::super::samples::lines;
    use super::super::sentences::sentences;
    use super::*;

    fn is_one(text: &str) -> bool {
        !action_items(&sentences(&lines(text))).is_empty()
    }

    #[test]
    fn tasks_are_found() {
        for text in [
            "For homework, please read the leaflet.",
            "I'd like you to keep a mood diary.",
            "Could we try a walk before breakfast?",
            "Let's put that on the list.",
            "I'll call my brother tonight.",
            "We'll meet again next Tuesday.",
            "Would you be willing to ask your doctor?",
            "Please bring the diary next time.",
            "If it gets bad, call the crisis line right away.",
            "I could go to the library on Friday.",
        ] {
            assert!(is_one(text), "{text}");
        }
    }

    #[test]
    fn reports_and_courtesies_are_no_tasks() {
        for text in [
            "I did my homework on Sunday.",
            "I'll try.",
            "Yes, I can do that.",
            "Could you tell me more about that?",
            "I'm afraid I will lose my job.",
            "I called her yesterday.",
            "Let's keep going.",
            "I will see you next week.",
            "Let's talk about sleep.",
            "I want you to know that I am here.",
        ] {
            assert!(!is_one(text), "{text}");
        }
    }
}

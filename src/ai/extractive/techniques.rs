//! The coping techniques that are known by name, and the phrases that name them.

/// A technique, the phrases that name it, and phrases that mean something else.
pub(super) struct Technique {
    pub(super) name: &'static str,
    pub(super) says: &'static [&'static str],
    pub(super) unless: &'static [&'static str],
}

/// In order of precedence.
pub(super) const TECHNIQUES: &[Technique] = &[
    Technique {
        name: "Breathing exercise",
        says: &[
            "(box|belly|deep|slow|square|paced|diaphragmatic|abdominal|calm|mindful) breath*",
            "breathing (exercise*|technique*|practice|space|pattern)",
            "breathe (in|out|slowly|deeply|through)",
            "(practice*|practic*|did|do|doing|try|tried|use|used|using|with) ..2 breathing",
            "(slow|deep|long|few|three|five|ten|four) ..1 breaths",
            "(longer|long|slow) (exhale|out breath)",
            "count ..2 (breath*|inhale*|exhale*)",
            "inhal* ..4 exhal*",
        ],
        unless: &[
            "breath* down my neck",
            "took a deep breath (and|before)",
            "before (telling|saying)",
            "deep breath before (i say|telling)",
        ],
    },
    Technique {
        name: "Grounding",
        says: &[
            "grounding",
            "(name*|list*|notic*|find*|count*|look* for) ..2 (five|four|three) ..1 (things|objects|colors|\
             sounds)",
            "five things ..3 (see|hear|touch|feel)",
            "(5 4 3 2 1|five four three two one)",
            "(hold*|held) ..3 (ice|ice cube*)",
            "feet ..2 (on|into|against) the (floor|ground)",
            "cold water (on|over|to) ..1 (face|wrists|hands)",
        ],
        unless: &["grounding wire"],
    },
    Technique {
        name: "Relaxation",
        says: &[
            "(progressive)? muscle relaxation",
            "relaxation (exercise*|technique*|training|recording|audio)",
            "body scan",
            "(tens*|tighten*|squeez*) ..4 (releas*|let* go|relax*)",
            "(relax*|drop*|loosen*|soften*) ..1 (my|your|the) (shoulders|jaw|muscles)",
            "(hot|warm|cold|long) (shower|bath)",
            "(safe|calm|peaceful|happy) place (exercise|image|in my|in your|imag*)",
            "guided (imagery|meditation|relaxation)",
            "visuali*",
        ],
        unless: &[],
    },
    Technique {
        name: "Mindfulness",
        says: &[
            "mindful*",
            "meditat*",
            "(let|letting|watch*|notic*|observ*) ..3 (thought*|feeling*|urge*|wave) ..2 (pass*|come and go|\
             go by|float*|drift*|without judg*)",
            "leaves on ..1 stream",
            "(ride|riding|rode|surf*) ..3 (wave|urge|urges)",
            "urge surf*",
            "(notic*|observ*|nam*|label*) (the|my|your|that|each) (thought*|feeling*|emotion*|urge*)",
        ],
        unless: &["app (company|startup)"],
    },
    Technique {
        name: "Examining thoughts",
        says: &[
            "thought (record*|diary|log|sheet|challeng*)",
            "(balanced|alternative|helpful|realistic|kinder|fairer) (thought*|view|way of thinking|\
             perspective)",
            "evidence ..6 (for|against|thought|that)",
            "cognitive (restructuring|distortion*|behavio*)",
            "(challeng*|question*|refram*|test*|examin*|check*|argue with|talk back to) ..3 (thought*|\
             belief*|prediction*|worry|worries)",
            "refram*",
            "thinking (trap*|error*|mistake*)",
            "(pros and cons|list of pros)",
            "i (told|remind*|tell) myself (that)? (it|this|i|my) ..6",
            "(ask|asked|asking) myself (what|if|whether|how)",
            "(fact|facts) ..3 (feeling|feelings|opinion|opinions|guess*)",
            "most likely (outcome|to happen)",
            "worst that (could|can) happen ..6 (best|likely|cope)",
        ],
        unless: &["(police|court|lawyer|trial|scientific)"],
    },
    Technique {
        name: "Activity planning",
        says: &[
            "behavio* activation",
            "activity (schedul*|plan*|diary|log)",
            "(enjoyable|pleasant|pleasurable|fun|meaningful) (activit*|thing*|event*)",
            "something (enjoyable|pleasant|fun|nice|kind) ..3 (plan|do|day|week|yourself|myself)",
            "schedul* ..4 (walk|activit*|time for|break|breaks)",
            "(small|tiny|one|manageable) (step|steps|goal|goals|task|tasks)",
            "doing something ..4 not feel like",
            "(go|going|went|gone|take|taking|took) (for)? ..1 (a|daily|short|long|my|our) ..1 (walk|walks|\
             run|jog|swim|ride|hike)",
            "(walking|running|jogging|swimming|cycling|yoga|gardening|stretching|dancing|painting|knitting|\
             drawing|cooking) ..5 (helps|help|helped|calm*|clear* my|better|lift*|relax*|distract*)",
            "(started|start|tried|try|going to|doing|do|did) ..2 (yoga|jogging|swimming|running|stretching|\
             exercising|exercise classes|tai chi|pilates)",
            "break* ..4 (down|up)? into (small*|steps|pieces|chunks|manageable)",
            "one (step|thing|day|task) at a time",
            "(set|setting|use|using) a timer",
            "daily (routine|structure|schedule)",
        ],
        unless: &["walk me through", "(running late|running out|run out)", "walk* out on"],
    },
    Technique {
        name: "Facing fears step by step",
        says: &[
            "(gentle|gradual|graded|imaginal|small|planned|an|the|do|doing|did) exposure*",
            "exposure (exercise*|therapy|task*|ladder|hierarchy|practice)",
            "(fear|worry|anxiety) (ladder|hierarchy)",
            "(face|facing|faced) (my|your|the|those|that) fear*",
            "(stay*|remain*) ..4 (until|while) ..4 (fear|anxiety|panic|feeling|wave|it) ..2 (pass*|drop*|\
             fall*|fell|goes down|went down|come* down|eas*)",
            "(instead of|rather than|without) (avoiding|escaping|leaving|running away)",
            "in the middle of a panic attack",
            "drop* ..2 safety behavio*",
        ],
        unless: &[
            "exposure to (sun|chemical*|covid|asbestos|lead|the virus)",
            "(media|sun|camera) exposure",
            "(photo|photos|camera)",
        ],
    },
    Technique {
        name: "Sleep habits",
        says: &[
            "sleep (hygiene|diary|schedule|routine|log|restriction|habits)",
            "(phone|screen|screens|television|tv|laptop|tablet|ipad) ..6 (off|away|kitchen|outside|out of|other room|\
             downstairs|another room|before bed|next room|hallway|drawer|at night)",
            "no (screens|phone|phones|caffeine|coffee|tv|alcohol|naps) (after|before|in the|past)",
            "(get|getting|got|getting up) ..1 (up|out of bed) ..8 (awake|minutes|can not sleep|not asleep|\
             sleepy|lying)",
            "(bed|bedtime|wake|get up|up|sleep) ..4 same time",
            "(evening|bedtime|night|nighttime|wind down|winding down|sleep) (routine|ritual)",
            "wind* down",
            "clock ..4 (wall|away|around|drawer)",
            "(coffee|caffeine|last cup) ..6 (noon|afternoon|lunch|cut|less|stop|tea instead)",
            "(low|dim|dimmed) (light|lights)",
            "bed only for sleep*",
        ],
        unless: &["phone ..6 (rang|battery)", "so nobody can", "^ how (has|have|was|were|did|is|are) "],
    },
    Technique {
        name: "Writing things down",
        says: &[
            "(journal|journaling|journalling|journaled)",
            "(mood|sleep|gratitude|worry|food|thought|urge|trigger|drink*|anger|symptom|panic) (diary|\
             journal|log|list|tracker|chart)",
            "(gratitude|grateful for) ..3 (list|each|every|three|things|practice|journal|night|day)",
            "three (good|nice|positive) things",
            "(write|writing|wrote|written) ..4 (down|diary|notebook|unsent|letter* to (him|her|my|your))",
            "(worry|worrying) (time|window|period|box|slot)",
            "to do list",
            "keep* a (diary|notebook|log)",
        ],
        unless: &[
            "journal (article|club|paper)",
            "lost my journal",
            "(scientific|medical|academic) journal",
            "(suicide|goodbye|farewell)",
            "(prescription|report|essay|exam)",
        ],
    },
    Technique {
        name: "Setting limits and saying what one needs",
        says: &[
            "(practic*|rehears*|role play*|prepar*) ..3 (sentence*|phrase*|script|conversation|refusal|no|\
             saying|asking|what to say)",
            "(say*|said) no ..6 (practic*|politely|without|guilt*|proud|instead|first time|kindly|more \
             often)",
            "(learn*|practic*|try|trying|able|manag*|allowed) ..2 (say|saying) no",
            "(set|setting|sets|keep|keeping|hold|holding|kept|draw|drawing|drew) ..3 (boundar*|limit|limits|\
             a line)",
            "(assertive*|assertiveness)",
            "i (statement*|message*)",
            "polite refusal",
            "(broken record|dear man)",
            "^ i (could|can|might) say $",
            "ask* for (help|what i need|what you need|space|support|time to think)",
            "(check|look at) my (schedule|calendar) first",
            "role play*",
        ],
        unless: &["speed limit", "time limit", "say no more", "can not say no"],
    },
    Technique {
        name: "Self-compassion",
        says: &[
            "self (compassion|kindness|care|soothing|soothe)",
            "compassionat* (letter|voice|self|friend|thought*)",
            "(kind|kinder|gentle|gentler|nicer|compassionate|patient) (to|with) (myself|yourself)",
            "kind* (sentence*|word*|letter|voice|note) ..2 (to|for)? (myself|yourself)",
            "(talk*|speak*|treat*) (to)? (myself|yourself) ..4 (friend|kind*|loved|gently)",
            "(say|tell) ..3 (to)? (a|your|my) (best|good)? friend ..4 (same|situation|if|who)",
            "(forgiv*|sooth*|comfort*) (myself|yourself)",
            "(affirmation*|positive self talk)",
            "self soothe*",
        ],
        unless: &[],
    },
    Technique {
        name: "Riding out strong feelings",
        says: &[
            "(opposite action|opposite to (the|my|your) (urge|feeling))",
            "opposite of what ..2 (feel*|urge|anxiety|depression|want*)",
            "(distress tolerance|radical acceptance|wise mind|tipp skill*|stop skill)",
            "(use|used|using|practic*|try|tried) ..2 (skill|skills)",
            "coping (skill*|card*|plan|strateg*|tool*|kit|box|statement*|list)",
            "(delay*|wait*|postpon*) ..4 (minutes|urge) ..4 (urge|before|pass*|acting|drink*)",
            "distract* (myself|yourself)",
            "distraction*",
            "count* (to|down from|backward*) (ten|twenty|a hundred|10|100|from)",
            "(time out|take a break|took a break|cool down|cooled down|step away|stepped away|stepped \
             outside|step outside) ..6 (argu*|angry|fight|anger|shout*|snap*|yell*|calm*|before|when|\
             minutes)",
            "(rubber band|stress ball|fidget)",
            "listen* to ..2 (music|podcast*|song*|playlist|audiobook*|audio)",
            "play* ..2 (music|guitar|piano|song*) ..4 (calm*|help*|relax*|when)",
        ],
        unless: &["distractions at work"],
    },
    Technique {
        name: "Reaching out to others",
        says: &[
            "(reach*|reaching) out to",
            "(call|calling|called|text|texting|texted|phone|phoned|ring) ..3 (and just talk|just to talk|to \
             talk|when i (feel|am|get)|instead of|before (i|the)|sponsor)",
            "sometimes i (call|text|phone|ring|visit|talk to)",
            "(talk*|spoke|speaking|open* up) to ..3 (helps|helped|about how i feel)",
            "support group*",
            "(aa|na|al anon|group|recovery) meeting*",
            "my sponsor",
            "(joined|join|joining) ..1 (a|the|an) ..2 (group|choir|club|class|team)",
            "lean* on (my|your|a|friends|family|people)",
            "(spend*|spent) (more)? time with (my|your|a|friends|people)",
            "sitting (in|with) my (daughter|son|dog|cat|mother|sister)",
        ],
        unless: &["called in sick"],
    },
    Technique {
        name: "Making room for grief",
        says: &[
            "(light*|lit) a candle",
            "memory (box|book)",
            "(look* at|looking at|looked at) ..3 (photos|photographs|album) ..4 (help*|cry|remember*|\
             together)",
            "(visit*) ..3 (grave|cemetery)",
            "(talk*|spoke) to (his|her) (photo|picture|grave)",
            "empty chair",
            "grief (ritual|group|letter)",
        ],
        unless: &[],
    },
];

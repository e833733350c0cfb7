//! Rules about suicide: attempts, means and plans, thoughts, hopelessness.

use super::rules::Rule;
use crate::ai::RiskKind::{Hopelessness, PastAttempt, SuicidalIdeation, SuicideMeansOrPlan};
use crate::ai::RiskSeverity::{High, Low, Moderate};

/// In order of precedence: where phrases overlap, the first rule has the words.
pub(super) const RULES: &[Rule] = &[
    Rule::own(
        PastAttempt,
        High,
        "A suicide attempt or overdose in the past was reported.",
    )
    .says(&[
        "coma ..8 (pills|tablets|overdose|attempt)",
        "i (have|had)? (tried|attempted) (it|that) (before|once|twice|already) ..2 (pills|rope|knife|$)",
        "(had|made|survived) ..1 attempt (when|in|at|last|two|three|years|before|once|$)",
        "(after|since|from|with) (the|my|that|an) overdose",
        "(my|with my|both) wrists (cut|slit)",
        "(trying|try) to (kill|hang|drown|shoot) myself",
        "(trying|try) to (end|take) my own? life",
        "(tried|attempted) to (kill|hang|drown|hurt|harm|shoot|poison|smother) myself",
        "(tried|attempted) to (end|take) (my own? life|it all)",
        "(tried|attempted) to (die|overdose|jump (off|in front))",
        "(tried|attempted|survived) suicide",
        "suicide attempt*",
        "my (first|last|second|third|previous|earlier|own|other) (suicide|overdose)? attempt",
        "attempt* on my own? life",
        "(took|taken|swallowed|downed) ..1 (too many|a handful of|handfuls of|a bunch of|a whole|the \
             whole|an entire|the entire|a full|the full|a bottle|the bottle|every|dozens of|a lot of|all the|\
             all of (my|the)|all my) ..4 @pills",
        "(took|taken|swallowed|downed) ..2 (twenty|thirty|forty|fifty|sixty|20|30|40|50|60|100) ..3 \
             @pills",
        "(took|taken) an overdose",
        "i (have|had)? (once|already|deliberately|intentionally)? overdosed",
        "my overdose",
        "(cut|slit|slashed) (my|both|both my) wrist*",
        "my stomach (was)? pumped",
        "pump* my stomach",
        "woke up in ..3 (icu|intensive care|psychiatric|hospital) ..6 (pills|overdose|attempt|tablets)",
        "hospitali* ..6 (suicid*|attempt|overdose|wrists)",
        "i (actually|once|even)? jumped (off|from|in front of) ..2 (bridge|building|balcony|roof|train|\
             bus|cliff)",
        "(hanged|hung) myself",
        "(rope|noose|belt|cord) around my neck",
        "(put|had|held) (a|the|my|his) ..2 (gun|rifle|pistol|barrel) (to my|in my|against my) (head|\
             mouth|temple|chin)",
        "(almost|nearly) (killed myself|hanged myself|jumped off|ended my life|ended it all)",
        "came ..2 close to (killing|ending|jumping|hanging|doing it)",
    ])
    .unless(&[
        "not (try|trying|tried) to",
        "as (prescribed|directed|needed)",
        "every (morning|evening)",
        "(on time|regularly|pharmacy|antibiotic*|bungee|pool|trampoline|lake)",
        "nearly killed myself (laughing|on|trying|tripping|getting)",
        "almost killed myself (laughing|on|trying|tripping|getting)",
        "attempt at",
    ]),
    Rule::own(
        SuicideMeansOrPlan,
        High,
        "Means or preparations for suicide were mentioned.",
    )
    .says(&[
        "(pills|tablets|bottle|bottles) ..8 (lined them up|lined up|laid them out|laid out|in a row|\
             stared at)",
        "(lined|laid) ..1 (pills|tablets) ..2 (up|out)",
        "enough ..2 @pills ..6 (do it|kill|end it|die|finish|never wake)",
        "(picked|chose|chosen|decided on|set|picked out|chosen) (out)? (the|a|my) (date|day|spot|place|\
             method|bridge)",
        "(drove|drive|walked|walk|went|go|gone|been|sat|stood) ..3 (bridge|cliff|cliffs|tracks|overpass|\
             rooftop|ledge|railing|platform|edge|roof) ..6 (stood|railing|looked down|looking down|stared|\
             turned around|could not do it|did not do it|did not jump|for an hour|let go|jump)",
        "(wrote|written|writing|write|left) ..3 (note|notes|letter|letters) ..6 (in case|if i|for after|\
             when i am|before i|explain*|goodbye)",
        "(gave|given|giving|give) ..8 away ..4 not need",
        "know (exactly)? which ..2 i would",
        "(look*|search*|googl*|read*|research*) ..6 how many (pills|tablets)",
        "how many (pills|tablets) ..2 (need|take|takes|enough)",
        "tied ..3 (knot|noose|rope)",
        "(bottle|pills|tablets|meds) ..4 count*",
        "(counted|count|counting) (out|all)? (the|my|those|all|up)? ..1 (pills|tablets|meds)",
        "(sav*|stash*|stockpil*|hoard*|collect*|hid|hiding|hidden|putting aside|setting aside|keeping) \
             ..4 @pills",
        "(enough|plenty of) ..2 @pills ..2 (to|for)",
        "(enough|what i need) to (kill myself|end it|end my|do it with)",
        "(bought|buy|got|get|load*|held|holding|hid|took out|taken out) ..3 (a|the|his|my|our) ..2 @gun",
        "know where ..6 (@gun|ammunition|bullets)",
        "(bought|tied|hung|made|found|prepared|got) ..3 (rope|noose)",
        "noose",
        "(have|had|made|got|worked out|figured out|come up with) ..3 plan ..3 (kill|die|end|do it|hang|\
             overdose|jump)",
        "(know|knew|decided|figured out|planned|worked out|thought about|thinking about|think about) ..2 \
             (how|when|where|which (bridge|way|train)) ..1 i ..3 (do it|kill myself|die|jump|end it)",
        "(picked|chose|chosen|set|found|have) ..1 (a|the) (date|day|place|spot|time|bridge|tree) ..4 (do \
             it|die|end it|kill|jump)",
        "(googl*|search*|research*|looked up|looking up|look up|read* ..2 about) ..8 (lethal|overdos*|\
             ways to die|how to die|kill myself|suicide|painless|hang*|how many (pills|tablets)|bridges)",
        "lethal (dose|amount)",
        "how many ..3 (it would|it takes|would it) take",
        "(stood|standing|stand|climbed|sat|went|walked) ..4 (ledge|railing|edge of|roof|bridge|overpass|\
             tracks|platform) ..10 (jump*|looked down|thought about|thinking|wonder*|imagin*|let go|step)",
        "(wrote|written|writing|write|left|leave) ..4 (goodbye|suicide|farewell) (note*|letter*|message*|\
             video*)",
        "(goodbye|suicide|farewell) (note|notes|letters|video)",
        "(wrote|written|writing) ..3 (note|letter|letters) ..6 (when i am gone|after i am gone|find me|\
             for after)",
        "my affairs in order",
        "(gave|giving|given|give) (away)? (all|most of)? my (things|belongings|possessions|stuff|jewelry|\
             dog|cat|favorite) ..2 away",
        "(gave|giving|given|give) away ..4 (things|belongings|possessions|everything|stuff|jewelry)",
        "(hose|exhaust) ..6 (car|garage|window|pipe)",
        "(practic*|rehears*) ..3 (tying|knot)",
        "(saying|said|say) (my goodbyes|goodbye to everyone|goodbye to everybody)",
    ])
    .unless(&[
        "(vacation|party|trip|birthday party|graduation|move|viewing|ceremony|baptism|dinner)",
        "(nerf|toy|water|glue|nail|squirt|paintball) (gun|guns)",
        "(pharmacy|chemist|refill|prescription|declutter*|goodwill|charity|moving|climb*|swing|boat|tent)",
        "(you suggested|for homework|as homework|wedding|hunting season)",
        "(goodbye|farewell) (letter|note|message|video) to (him|her|my)",
        "(before|when) (he|she|mom|dad) (died|passed)",
    ]),
    Rule::named(
        SuicideMeansOrPlan,
        Moderate,
        "Access to a means of suicide was mentioned.",
    )
    .says(&[
        "@gun ..4 (in|under|at|by|from|inside) ..3 (house|home|closet|basement|attic|drawer|nightstand|\
             safe|bed|garage|apartment|car|truck|cabinet|cupboard|shed|bedroom|glove)",
        "(have|has|got|keep|kept|still|there are|found) ..2 (old|leftover|left over|extra|spare|unused|\
             remaining|a (full|whole) bottle of|a bottle of|a box of|a drawer full of|a stash of|lots of|\
             plenty of) ..2 @pills",
        "(have|has|got|keep|keeps|own|owns|there is|there are) (still)? (a|an|the|my|his|our|her|two)? \
             ..2 @gun ..4 (house|home|closet|drawer|nightstand|safe|bed|garage|apartment|car|cabinet|loaded|\
             basement|attic|shed|bedroom|$)",
        "access to ..3 (@gun|@pills)",
    ])
    .unless(&[
        "(nerf|toy|water|glue|nail|squirt|paintball) (gun|guns)",
        "(police|museum|video game)",
        "allerg*",
    ]),
    Rule::own(
        SuicidalIdeation,
        High,
        "Thoughts of suicide or of dying were voiced.",
    )
    .says(&[
        "(ways|way|how) to (end it $|end it all|kill myself|die)",
        "not ..2 see myself (making it|living|being alive|around|lasting)",
        "not (going to|gonna)? make it to (summer|christmas|my birthday|next|spring|winter|the end of)",
        "(thought|thoughts|think|thinking|picture|pictured|picturing|imagine|imagined|imagining|wonder|\
             wondered|wondering|fantasize|idea|dreamed|tempted|urge|plan|planning) ..6 (ending (it|\
             everything|(my|this) life)|end it $|(be|being) dead|to (jump|not exist|be gone)|jumping|my \
             (own)? funeral|turned the wheel|let* go of the wheel|crash*|not existing)",
        "(would|could|should) have (ended|done) it (already|by now|long ago|years ago|all|if|$)",
        "(ended|done) it already",
        "only (thing|reason|person) ..4 (keeping me (alive|here|going)|keeps me (alive|here|going)|i am \
             (still)? (alive|here|not dead)|i have not (done it|killed|ended)|stopping me|stops me)",
        "(disappointed|angry|sorry|annoyed|upset|sad) (that|when)? ..1 i (woke|wake|survived|did not die|\
             am still (here|alive)|am alive)",
        "not have to wake up",
        "(god|lord|someone) ..3 take* me (in|away|tonight|home|$)",
        "(death|dying|being dead) (would|might|will|is|seems|sounds|feels) ..2 (relief|easier|better|\
             peaceful|only|solution|answer|way out|like peace|rest|nice)",
        "why ..2 i ..1 (alive|still here)",
        "(stop|stopped) (existing|being alive|breathing)",
        "(kill|killing|killed) myself",
        "(end|ending|take|taking|taken) my own? life",
        "(think|thinking|thought|thoughts|considering|considered|consider|contemplat*|planning|fantas*|\
             obsess*|ideas) ..3 (suicide|suicidal)",
        "commit* suicide",
        "(feel|feeling|felt|been|am|get|getting|got|became|was|being|still|so|really|very|pretty) \
             suicidal",
        "suicidal (thoughts|ideas|ideation|feelings|urges|impulses|again)",
        "(want|wanted|wanting|wish|like|ready|hoping|hope|decided|prefer|rather|pray*) to die",
        "(wish|wished|wishing) ..2 (was|were|am|be|had) ..1 (dead|never (been)? born|not alive|not here)",
        "(wish|wished|wishing) i ..2 (not exist|not wake up|never wake up|not alive|die|not be (here|\
             alive)|disappear forever)",
        "(wish|wished|wishing) i (had)? (never|not) (been|be) (born|here)",
        "never (been)? born",
        "not (really|even|actually)? (want|wanna|wish) to (be alive|exist|wake up|live (anymore|like \
             this|at all|any longer|through|$)|go on living|be in this world|keep living|be here anymore|be \
             around anymore|stay alive|survive)",
        "(no longer|not sure (if|that)? i|not know (if|whether|that) i) (want|wanted) to (live|be alive|\
             be here|exist|keep living|go on|wake up|die)",
        "(rather|better|better off|supposed to|should|deserve to|easier|want to|wanted to) (be|being|\
             have been)? dead",
        "(rather|easier to) not (be alive|exist|be here|wake up)",
        "(deserve|supposed|meant) to die",
        "should (have died|not be alive|not have survived|not be here anymore|have been me who died)",
        "(better|easier|happier|fine) (off)? if i (was|were|am|had|did|just)? ..2 (dead|gone|not (here|\
             around|exist|wake|alive)|disappeared|died|never (been)? born)",
        "(better|easier|happier|relieved) (off)? without me",
        "(thought|thoughts|think|thinking|dream*|fantas*|daydream*) (about|of|on) ..2 (being dead|not \
             being (here|alive|around)|not existing|not waking up|ending (it|things|everything)|overdosing|\
             hanging|stepping (off|in front|out)|jumping)",
        "(end|ending) it all",
        "(end|ending) (it|everything|things) (tonight|for good|myself|once and for all|permanently|all)",
        "put an end to (it all|everything|my life|myself)",
        "(want|wanted|tempted|ready) to ..1 end it",
        "(think|thinking|thought|thoughts|urge|urges|tempted|want|wanted|imagin*|plan*|ready|going|\
             impulse|easy|picture*) ..6 (drive|driving|steer|steering|swerve|swerving|crash|crashing|turn|\
             turning) ..5 (into|off) ..4 (tree|wall|truck|lorry|bridge|pole|cliff|river|traffic|barrier|\
             median|road|lake)",
        "(think|thinking|thought|thoughts|urge|urges|tempted|want|wanted|imagin*|ready|going|impulse|\
             easy|picture*) ..6 (jump|jumping|step|stepping|walk|walking|throw|throwing|let) ..3 (off|from|\
             in front|in|into|under) ..3 (bridge|balcony|roof|building|window|train|tracks|traffic|bus|truck|\
             river|sea|ocean|cliff|edge)",
        "(throw|throwing|threw) myself (off|under|from|in front|out)",
        "(hang|hanging|shoot|shooting|drown|drowning|poison|poisoning|suffocate|suffocating|gas) myself",
        "(slit|slitting|slash|slashing|cut|cutting) (my|both my) wrist*",
        "(sleep forever|sleep and never wake|never wake up|not wake up (again|anymore|tomorrow|one day|\
             ever|in the morning)|did not wake up $)",
        "(hope*|hoping|wish*|pray*) ..8 (not|never) wak* up",
        "(fall asleep|go to sleep|go to bed|went to bed|going to sleep|going to bed) ..4 (not|never) wak*",
        "(hope*|hoping|wish*|pray*|want*) ..6 (hit|hits|run over|kill|kills|crash into|hit by|take) me",
        "(hope*|hoping|wish*|pray*|want*) ..4 (get|getting|be|being) (hit|run over|killed|struck) by",
        "not ..4 (care|mind|matter) ..2 (if|whether) i ..4 (live|lived|die|died|wake|woke|alive|dead|\
             crash*|survive*)",
        "not ..1 mind ..3 (dying|being dead)",
        "(no|without a|not ..3 (a|any|one|single|much)) (good|real|single)? (reason|reasons) (left)? (to|\
             for) (live|living|stay alive|staying alive|keep living|be alive|exist|stay here|go on living)",
        "(tired|sick|done|had enough) (of|with) (living|being alive|life|existing|this life|this world|\
             my life|everything) (anymore|$)",
        "(kill|end) me now please",
        "(leave|leaving) this (world|life|earth)",
    ])
    .unless(&[
        "(not|never) (stop|stopped) breathing",
        "(snor*|apnea|asthma|inhaler)",
        "(city|roommates|job) $",
        "(kill|killing) myself (laughing|trying|studying|working|at|over|for (this|that|the|work|a))",
        "been killing myself (to|for|with|at|over)",
        "(die|died|dying) (of|from|with) ..2 (embarrass*|shame|laugh*|boredom|cringe|hunger|thirst|heat|\
             jealousy|curiosity)",
        "(take|taking) my life (back|in|into|seriously|for|to|as|day|one|where|forward)",
        "drowning myself in (work|coffee|sleep)",
        "shoot* myself in the foot",
        "(bungee|parachut*|skydiv*|pool|trampolin*|diving board)",
        "(would|could) (sooner|rather) die than",
        "suicide (prevention|awareness|hotline|rate|rates|squad)",
        "(want|wanted|like) to die (my|the) hair",
    ]),
    Rule::own(
        SuicidalIdeation,
        Moderate,
        "A wish not to be here, or that everything would stop, was voiced.",
    )
    .says(&[
        "(want|wanted|just) ..1 to (disappear|vanish|cease to exist|not exist)",
        "disappear from (the face of|this|the) (earth|world)",
        "(want|wanted) (it all|everything|the pain|this pain|all of it|all of this|my pain) to ..1 (stop|\
             end|be over|be done)",
        "(think|thinking|thought|thoughts) (about|of) (my own death|dying|death)",
        "(dark|bad|those|the) thoughts (are|came|come|have come|keep coming|have been coming) (back|\
             again|stronger|worse)",
        "(nobody|not one|no person) would ..2 (miss|notice|care|cry|come to) ..4 (me|gone|died|dead|\
             disappeared|funeral|if i)",
        "(want|wish|ready|going) to ..1 (join|be with) ..5 (heaven|up there|other side)",
        "(will|would) not be (around|alive|here) (much longer|for long|by then|to see)",
        "(burden|in the way) (to|of|for|on) (everyone|everybody|them all|my family)",
    ])
    .unless(&[
        "(if|when|in case) the thoughts",
        "(embarrass*|ashamed|blush*|humiliat*|mortified|awkward)",
        "(disappear|vanish) (for|into|to|on|behind) (a|an|the|my)",
        "(afraid|scared|terrified|fear|panic*|heart attack|worry|worried) ..4 (death|dying)",
        "(death|dying) (of|in|anxiety|certificate|penalty)",
        "(his|her|their|mother|father|grandmother|grandfather|mom|dad) (death|dying)",
    ]),
    Rule::own(
        Hopelessness,
        Moderate,
        "Hopelessness was voiced: no point, no way out or no future.",
    )
    .says(&[
        "what is there (left)? to (live|hope|look forward)",
        "not matter what i do",
        "not (believe|think|feel like|see how|imagine|know how|expect) ..1 (it|things|this|that|anything|\
             i|life|we) ..4 (ever|going to|will|can|could) ..3 (better|improve|change|easier|okay|end|stop|\
             work out|happy|normal|different)",
        "not (imagine|see|picture) (being|myself) (alive|here|around|happy|next year|in (five|ten|two|a)|\
             at (thirty|forty|fifty))",
        "(not have|not see|have no|no|without) (a|any|much|much of a)? future $",
        "why (do|should|would|am|even) i ..2 (bother*|try|trying|keep|get up|getting up|go on|going|get \
             out)",
        "not (do|does|make|makes|matter) (a|any)? (difference|matter) (anymore|anyway|what i do|if i)",
        "nothing i do ..3 (difference|matters|helps|works|enough)",
        "(no|not a|never) way (this|it|things|i) ..3 (better|work out|change|end)",
        "(not|never|hardly|cannot) ..2 (see|seeing|find|know) (the|any|a|much|what the)? (point|purpose|\
             sense|meaning) (of|in|to|is)? (anything|everything|living|life|going on|going anymore|trying|it \
             all|it anymore|existing|continuing|carrying on|being (here|alive|around)|getting up|getting out \
             of bed|any of (it|this)|fighting|hoping|keeping going|waking up|tomorrow|staying|myself|me|\
             doing anything|anymore|$)",
        "(no|any|what is the|what the|where is the) (real)? (point|sense|purpose|meaning|use) (of|in|\
             to)? (anything|everything|living|life|my life|going on|trying anymore|it all|it anymore|\
             existing|continuing|carrying on|being (here|alive|around)|getting up|getting out of bed|any of \
             (it|this)|fighting|hoping|keeping going|waking up|staying|doing anything|anymore|left)",
        "(no|lost|lose|losing|given up|giving up|without|out of) (all|any|my)? hope (for (me|us|the \
             future|anything)|left|anymore|that|of (getting|feeling|things|ever)|$)",
        "(feel|feels|feeling|felt|am|is|everything|so|just|completely|totally|seems|was|been|this|looks) \
             hopeless",
        "nothing (is|will|is going to|is ever going to|will ever|can|could|ever) ..1 (get better|change|\
             changes|help|matter|improve|work|be good|be okay|fix|makes)",
        "nothing (really|even)? (matters|changes|feels worth|is worth)",
        "(it|this|things|i|life|everything|that|pain|depression) (will|is|are|am)? ..2 (never|not ever|\
             not going to|will not) (going to)? (ever)? (get|getting|be|feel|going) ..1 (better|happy|okay|\
             ok|normal|fine|over|different) $",
        "never ..2 (get better|be happy again|be okay|be ok again|feel normal|feel better|be normal|feel \
             okay|get out of this|see the end)",
        "(no|any|a|without|see no) (way out|future (for|ahead|in front|anymore|left|$)|light at the end|\
             way forward)",
        "(not|cannot|hard to|never|impossible to) ..2 (see|imagine|picture) ..2 (future|myself (alive|\
             getting old|here|getting better|being here)|getting better|way out|end to (this|it)|things \
             (getting|ever)|tomorrow|way forward|it (getting|ever))",
        "(given|gave|giving|give) up on (life|myself|everything|living|ever|getting|things|trying|it all|\
             the future)",
        "(feel like|want to|wanted to|ready to|about to|might as well) ..1 (giving|give) up (anymore|\
             completely|$)",
        "(have|had|already) (already|just|completely|pretty much)? given up $",
        "not (go on|carry on|keep going) (like this|living|anymore|with (this|life)|another|much longer|\
             $)",
        "not (do this anymore|take this anymore|take it anymore|bear it anymore|live like this|go \
             through this anymore|keep doing this|fight anymore|stand it anymore)",
        "(life|everything|it all|living|existence|my life|the future|all of it) ..2 (pointless|\
             meaningless|no meaning|no purpose|without meaning|useless|hopeless|worthless|over|bleak|black)",
        "(no|without a|not ..3 (a|any|one)) (reason|purpose) (to|for|in) (go on|going on|get up|getting \
             up|get out of|life|my life|try|trying|keep|continue|wake up|carry on|hope|bother)",
        "nothing (left)? (to|worth|for me) (live|living|hope|look forward|to live|to look forward|in the \
             future|here) (for|to|anymore)?",
        "(life|living|it) (is|was|feels|seems)? ..2 not ..1 worth (living|it anymore|the (pain|effort|\
             trouble))",
        "(always|forever|rest of my life) (be|going to be|going to feel|feel|stuck) (like this|this way|\
             miserable|broken|alone|in pain)",
        "stuck ..3 forever",
        "beyond (help|repair|saving|fixing)",
        "(nobody|nothing|no therapist|no doctor|no medication) (can|could|will|is going to) (ever)? \
             (help|save|fix) me",
        "(no use|why bother) (trying|anymore|living|in)",
        "not (know|see|understand) why i ..2 (get up|bother|try|go on|keep (going|trying|living)|wake up|\
             carry on|am (here|alive))",
        "(feel|feeling|felt) (completely|totally|so|just|utterly)? trapped (and|with no|forever|$)",
        "(future|tomorrow) ..3 (looks|look|is|feels) ..1 (black|dark|empty|bleak|hopeless)",
    ])
    .unless(&[
        "hopeless (at|with|romantic|cook|case|cause|driver|singer)",
        "out of (the|this|my|that) (contract|lease|parking|building|meeting|lot)",
        "(trapped|stuck) in (the|an|a|my) (elevator|lift|traffic|car|room|meeting|bus|train|house)",
        "(recipe|printer|wifi|computer|phone|laptop|remote|parking|team|season|referee|bus) ",
        "never (get|be|feel) better (at|than)",
    ]),
    Rule::own(Hopelessness, Low, "A loss of purpose was voiced.")
        .says(&["what is the (point|use) $", "it is no use $"]),
];

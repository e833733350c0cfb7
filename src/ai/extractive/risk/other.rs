//! Rules about substances, psychosis, other dangers, and the arrangements made against them.

use super::rules::{Rule, Subject};
use crate::ai::RiskKind::{Other, Psychosis, SafetyPlan, SubstanceUse};
use crate::ai::RiskSeverity::{High, Low, Moderate};

/// In order of precedence: where phrases overlap, the first rule has the words.
pub(super) const RULES: &[Rule] = &[
    Rule::own(Psychosis, High, "Experiences that may be psychotic were described.")
        .says(&[
            "(voice|voices) ..4 (tell*|told|order*|command*|talk*) ..1 me (to|what|things|that i (have|must|\
             should))",
            "(saw|see|seen|seeing) my (dead|late) ..3 (standing|talking|sitting|at|in|walking|looking)",
            "god ..1 (chosen|chose|picked|commands|commanded|is speaking to|is telling) me",
            "(hear|hears|hearing|heard) ..2 (voices|whispering|whispers)",
            "(hear|hearing|heard) (a|someone|somebody|people|him|her|them|things|my name) ..8 (nobody|not \
             there|no person|else (can|could|hears)|not real|empty)",
            "(the|these|those|my|two|three) voices (are|is|were|get*|got|told|tell*|say*|said|came|come|in \
             my|keep|kept|started|have|will|want)",
            "(voice|voices) ..4 (tell*|told|order*|command*|urg*|order*) me to",
            "(see|seeing|saw|sees|seen) ..2 (things|people|shadows|figures|faces|a man|a woman|him|insects|\
             bugs) ..5 (not (really)? (there|real)|nobody else|else (can|could|sees)|watching)",
            "nobody else (can|could|seems to|ever|even)? ..1 (see*|saw|hear*|heard|notice*|smell*)",
            "(tv|television|radio|newsreader|news|internet|songs|license plates|billboards|newspaper|anchor) \
             ..5 (talking|speaking|sending|sends|talks|speaks|meant|messages|signals|about me|directly) ..3 \
             me",
            "(secret|hidden|special|coded) (message|messages|signals|signs|meaning|mission|powers) ..4 (me|\
             for|to|from)",
            "(chip|implant|transmitter|microphone|microphones|cameras|camera|tracker|device|bug) ..5 (in|\
             inside|behind|under) (my|the) (head|brain|tooth|teeth|arm|body|house|walls|wall|apartment|food|\
             phone|ceiling|bedroom|lamp|room)",
            "(put*|insert*|plant*|inject*) ..2 thoughts (in|into|inside) my",
            "(read|reads|reading|control*|steal*|hear|hears|broadcast*) my (mind|thoughts)",
            "(poison*|drug*|put* something in) ..2 my (food|water|coffee|drink|tea|meals)",
            "i am (god|jesus|the messiah|a prophet|the chosen|chosen by)",
            "(chosen one|chosen by god|god (speaks|talks|spoke|talked|told) to? me)",
            "hallucinat*",
            "replaced (by|with) (a|an)? (imposter*|impostor*|copy|double|actor|actors|robot|robots)",
            "(walls|furniture|pictures|posters) ..2 (talk*|breath*|whisper*|watch*)",
            "(conspir*|plot) against me",
        ])
        .unless(&[
            "neighbors voices",
            "heard ..4 voices ..2 through",
            "(photo*|picture|video|dream|dreamed)",
            "(voices|whispers|whispering) ..3 (hallway|corridor|downstairs|upstairs|next door|kitchen|radio|\
             phone|choir|recorded|kids|children|party|street)",
            "(kids|children|children's|friends|raised|loud) voices",
            "(class|teacher|instagram|manager|presentation|audience|therap*) ..6 (watching|recording|\
             listening)",
            "(recording|listening to) (the|this|our) (session|music|podcast)",
            "(antibiotic*|food poisoning)",
        ]),
    Rule::named(Psychosis, High, "A sense of being watched or persecuted was described.")
        .says(&[
            "(they|people|government|neighbors|neighbor|fbi|cia|police|agents|strangers|someone|somebody|\
             coworkers) ..2 (are|is|have been|has been|were|keep|keeps|started) ..1 (spying|tracking|\
             listening (to|in)|recording|plotting|monitoring|bugging|poisoning|reading my (mind|thoughts)|\
             out to get|after me|conspir*|controlling my)",
            "(they|government|neighbors|neighbor|fbi|cia|police|agents|strangers) ..3 (watching|following|\
             observing|filming) me (through|from|with|at night|all|everywhere|in my|wherever|and|because|$)",
            "(put|installed|hid|planted|placed|hidden) ..3 (cameras|camera|microphones|microphone|bugs|\
             tracker|chip|device|devices) ..1 (in|inside|on|behind|under|around|all)",
            "(they|people|government|neighbors|fbi|cia|police|agents|strangers) ..3 (following|after) me \
             (for|everywhere|since|all|with|in|and|again|$)",
            "(they|government|neighbors|fbi|cia|police|agents|someone|somebody|doctors) ..2 (put|placed|\
             installed|implanted|hid) (something|things|a chip|a device|a tracker) in (my|me)",
        ])
        .unless(&[
            "(class|teacher|instagram|manager|presentation|audience|therap*|boss) ..6 (watching|recording|\
             listening|monitoring)",
            "(recording|listening to) (the|this|our) (session|music|podcast)",
            "(baby|nursery|dog|security|traffic) ..2 (camera|cameras|monitor)",
            "(twitter|online|instagram|blog|social media)",
        ]),
    Rule::own(SubstanceUse, Moderate, "Risky use of alcohol, drugs or medication was mentioned.")
        .says(&[
            "(beers|drinks|shots|wine|pints|glasses|vodka|whiskey) ..6 (drove|driving|drive) (home|back|to|\
             the)",
            "(took|take|taking) (two|three|four|five|six|seven|eight|ten|several|a few|a couple) ..3 (xanax|\
             valium|ambien|benzos|oxy*|percocet|painkillers|pills|lorazepam|klonopin|sedatives) ..4 (instead|\
             at once|to (sleep|calm|get|feel|numb|relax)|a day|every|just)",
            "(not|never) remember ..2 (how i (got|came)|getting|most of|half|anything|the rest) ..3 (home|\
             night|evening|party|bar|said|happened|weekend)",
            "(finish*|empty|emptied|go through|went through|get through|drink|drank|kill) ..1 (bottle|\
             bottles|liter|litre|six pack|case|box|handle) of @drink ..3 (in|every|each|a|per|over|by|on my \
             own|alone|myself)",
            "@many ..1 (bottles|liters|litres|boxes) of @drink",
            "(oxy*|percocet|xanax|adderall|percs|vicodin|codeine|tramadol|valium|pills) ..6 (sells|sold|\
             dealer|street|someone else|are not mine|is not mine|without telling)",
            "(take|taking|took|using|use|on|doing) (oxy*|percs|percocet|vicodin|codeine|tramadol) (again|\
             that|from|to|without|when|before|just|every)",
            "(bottle|bottles|liter|litre|fifth|six pack|(case|box|pint) of @drink) ..5 (every|each|a|per|\
             most) @day",
            "@many ..2 (beers|drinks|glasses|shots|cans|pints|joints|lines|bottles|whiskeys|vodkas) ..4 \
             (every|each|a|per|most|by) (@day|noon|lunch*|work|time)",
            "@many (or @many)? ..1 (beers|drinks|shots|cans|pints|joints|glasses of @drink) ..3 (before|just \
             to|to (sleep|fall|get|calm|relax|cope|numb|function))",
            "(every|each|most|all) @day ..8 (bottle of @drink|vodka|whiskey|get drunk|am drunk|drunk|\
             drinking|drink until|joint|high|stoned)",
            "(drinking|drink|drank|drunk) ..3 (too much|way more|heavily|a lot|again|every @day|most @day|\
             alone|daily|secretly|in secret|on my own|more than i|more and more|nonstop)",
            "(drinking|drink|drank|drunk) ..5 (to (sleep|fall asleep|get to sleep|cope|forget|get through|\
             numb|calm|relax|shut|stop|feel)|in the morning*|before (work|noon|breakfast)|at work|until i|\
             till i|myself to sleep|so i can|just to)",
            "(drank|drink|drinking|finish*|finished|empty|emptied|went through|get through|killed) ..2 \
             (whole|entire|full|half a|two|three|four|almost a|nearly a|second) ..1 (bottle|bottles|six pack|\
             fifth|box|liter)",
            "(passed|pass|passing|blacked|black|blacking) out ..6 (drink*|drunk|drank|@drink|couch|sofa|\
             floor|bar)",
            "(drink*|drunk|drank|@drink) ..6 (passed|pass|passing|blacked|black|blacking) out",
            "(blackout|blackouts|black outs)",
            "(blacked|black) out (again|last|on|and do not|and did not|completely)",
            "(hungover|hung over|hangover)",
            "(get|getting|got|was|am|been|being) (so|really|very|completely|pretty)? (drunk|wasted|hammered|\
             stoned|high) (every|again|at work|most|to|by|before|all|almost|and|last|on|alone|just|when)",
            "(drive|drove|driving|driven) ..4 (drunk|high|wasted|under the influence|after (drinking|a few|\
             several|@many|two|a bottle))",
            "(dui|dwi)",
            "@drink ..6 (in my (coffee|bag|desk|drawer|car|closet|purse|thermos|tea)|for breakfast|before \
             (work|noon|breakfast|bed)|to (sleep|fall asleep|cope|forget|calm|numb|get (through|to sleep|\
             going))|every @day|each @day|most @day)",
            "(hide|hid|hiding|hidden) ..3 (bottles|vodka|alcohol|drinking|wine|drugs|booze|empties|cans)",
            "(start|started|starting|back to|went back to|went back on|gone back to|back on) (drinking|using|\
             smoking weed|drugs|@pills|heroin|cocaine)",
            "(using|used|use|took|take|taking|snort*|smok*|shoot*|inject*|did|doing|bought|buying|addicted \
             to|high on|line of|lines of|do) ..3 (cocaine|coke|heroin|meth|fentanyl|crack|ketamine|mdma|\
             ecstasy|crystal|lsd|speed|amphetamine*|drugs)",
            "(smok*|weed|cannabis|marijuana|pot|edible*|joint|joints|vap* weed|bong) ..6 (every @day|all day|\
             daily|before work|to (sleep|fall asleep|cope|calm|numb|get through|function)|just to|from \
             morning|most @day|multiple times|constantly)",
            "(take|taking|took|double*|doubling|using|use|swallow*|pop*) ..3 (more|extra|double|twice|triple|\
             two or three|three or four|a handful of|handfuls of) ..5 (@pills|dose|prescribed|i should|\
             supposed)",
            "@pills ..6 (than (prescribed|i should|i am supposed|i was told)|not prescribed|without a \
             prescription|off the street|from a (friend|dealer|guy)|like candy|with (wine|alcohol|vodka|beer|\
             drink*))",
            "more ..4 than (prescribed|the doctor|my doctor|what the doctor)",
            "(doubl*|tripl*) ..2 (my|the) (dose|pills|medication|meds)",
            "(buy|buying|bought|get|getting|got) ..3 (xanax|valium|oxy*|percocet|pills|benzos|adderall|\
             opioids) (from|off|online|on the street)",
            "(mix*|wash* down) ..4 @pills ..3 (with|and|down)",
            "i (am|might be|became|was|may be|think i am|have become|guess i am) ..2 (addicted|addict|\
             alcoholic|dependent on|hooked on)",
            "(not|never|unable to) ..5 without (a drink|drinking|wine|alcohol|vodka|weed|a joint|smoking \
             (weed|pot|a joint)|my pills|pills|xanax|getting (high|drunk|stoned)|a bottle|a few drinks|a \
             beer)",
            "not (stop|control|cut down on) (my)? (drinking|using (drugs|again)?|after (one|two|the first)|\
             at (one|two|just one))",
            "need* (a|another|two|three|my|some|at least) (drink|drinks|wine|vodka|beer|joint|few drinks|\
             shot) ..4 (to|before|just|every|in the)",
            "(shakes|shaking|sweating|tremble*|hands shake) ..6 (drink|alcohol|drank|booze)",
            "(drinking|using|drug use) (is|has|got|has gotten|is getting|has been) (getting)? (out of (hand|\
             control)|worse|a problem|too much)",
            "(drinking|using) problem",
            "(overdosed|overdose|od) on (heroin|fentanyl|cocaine|pills)",
            "(sniff*|huff*|inhal*) ..2 (glue|paint|gas|solvent*)",
        ])
        .unless(&[
            "(bottle|bottles|glass|glasses|cup|cups|liter|litre|pint|drink|drinking|drank|much|case|box) ..4 \
             (coffee|water|tea|soda|juice|milk|caffeine|cola|smoothie*|energy drinks|lemonade|kombucha|\
             shampoo|pop|sparkling)",
            "(sober|abstinent|clean for|days clean|months clean|years clean)",
            "(quit|stopped|gave up|given up|cut down|cut back|cutting down|cutting back|giving up|have not \
             had|have not touched|did not touch|reduced) ..4 (drink*|@drink|smok*|weed|drugs|using|alcohol|\
             bottle|a drop)",
            "addicted to (my phone|sugar|chocolate|instagram|work|tiktok|social|that|this|series|shopping|\
             the|podcasts|exercise)",
            "(relapse prevention|relapse plan|depressi* relaps*|relaps* ..3 depressi*)",
            "(high school|high on life|high five|high blood|high hopes)",
            "(dish|cough|allergy|vitamin*)",
        ]),
    Rule::own(SubstanceUse, Moderate, "A relapse was reported.")
        .says(&[
            "(relapsed|had a relapse|fell off the wagon|off the wagon)",
            "(drank|drinking|smoked|smoking|picked up|had a drink|took a drink|drunk) again",
            "(used|using|am using|been using) (drugs)? again",
            "(sober|clean) ..6 (until|till|before|and then|but) ..6 (drank|drink|used|slipped|relapsed|\
             bottle|beer)",
        ])
        .unless(&[
            "(breath*|exercise|technique|skill|method|app|water|coffee|tea)",
            "(relapse prevention|relapse plan|depressi* relaps*|relaps* ..3 depressi*)",
            "relaps* ..4 (cutting|self harm*)",
        ]),
    Rule::named(Other, Moderate, "A concern for the safety of somebody close was mentioned.").says(&[
        "(my|our) ..2 (mother|mom|father|dad|grandmother|grandfather|husband|wife|@child) ..4 (wander*|\
             got lost|gets lost|left the (stove|gas|oven))",
        "(my|our) ..2 @child ..4 (knife|gun|razor*|blade*|pills) ..4 (room|bed|school|bag|bathroom)",
        "(my|our) ..2 (@child|brother|sister|mother|mom|father|dad|husband|wife|partner|girlfriend|\
             boyfriend) ..6 (want*|talk*|think*|threaten*|say*|said|keeps|wish*|text*|wrote) ..8 (disappear \
             forever|die|dead|dying|suicid*|(kill*|hurt*|hang*) (himself|herself|themselves|themself)|end it|\
             her life|his life|not want to (live|be alive))",
        "(my|our) ..2 @child ..5 (cut*|hurt*|harm*|burn*) (himself|herself|themselves)",
        "(my|our) ..1 @child ..4 (ran away|run away|missing since|not come home|disappeared)",
        "(he|she) ..3 (threaten*|says|said|tells me) ..5 (kill (himself|herself)|hurt (himself|herself)|\
             end (his|her) life)",
    ]),
    Rule::own(Other, Moderate, "A danger to health or safety was mentioned.")
        .says(&[
            "not (eaten|been eating|eat|had anything to eat) ..5 (day|days|week|weeks|all day|since)",
            "(starv*) myself",
            "(mak*|made) myself (sick|throw up|vomit|puke)",
            "(purg*|laxatives|throw* up after|threw up after|vomit* after)",
            "(stopped|quit|stopping|skipping|flushed|threw away|not (been)? (taking|taken)|off) ..1 \
             (taking)? (all)? (of)? my (medication|meds|lithium|insulin|antipsychotic*|antidepressants|pills|\
             mood stabilizer*)",
            "(driv*|drove) ..12 (reckless*|eyes closed|way too fast|much too fast|without (a|my) (seatbelt|\
             seat belt|lights)|lights off|headlights off|hundred miles)",
            "asleep (at the wheel|while driving|behind the wheel|driving)",
            "(close|closed|closing) my eyes ..6 (driv*|wheel|highway|road)",
            "(left|leave|leaves|forgot) ..2 (stove|gas|oven|burner) (on|running) ..6 (again|twice|times|week|\
             all night|overnight|asleep)",
            "(sleep|sleeping|slept|living|live) (in|on) (my|the|our) (car|street|streets|park bench)",
            "nowhere (to|else to) (sleep|stay|live|go) (tonight|anymore|$)",
            "(being|am|are|getting|been) evicted",
            "(unprotected sex|sex with strangers|hook up with strangers)",
        ])
        .unless(&[
            "(doctor|psychiatrist|taper*|nurse|physician) ..4 (said|told|agreed|advised|suggested|stopped|\
             and i)",
            "(diet|fasting|ramadan|camping|road trip)",
        ]),
    Rule::own(Other, Low, "Marked loss of weight or of sleep was mentioned.").says(&[
        "(lost|lose) ..4 (pounds|kilos|kilograms|kg|stone|lbs) ..6 (not hungry|not eat*|no appetite|can \
             not eat|appetite|without trying)",
        "not slept (at all)? (in|for) (@many|two|2) (days|nights) ..8 (amazing|great|energy|voices|\
             anything|all|wired|manic|$)",
    ]),
    Rule {
        subject: Subject::Anybody,
        ..Rule::own(SafetyPlan, Low, "A safety plan or a crisis contact was arranged.")
    }
    .says(&[
        "lock* ..1 (up|away) ..3 (@gun|@pills|knives|alcohol)",
        "lock* ..4 (@gun|@pills|knives) ..1 (up|away)",
        "(gave|handed|took|brought|turned) ..4 (@gun|pills|knives|blades|razors|tablets) ..3 to (my|you|\
             the|him|her|our)",
        "what (you|we|i) (will|would|can|could|are going to) do (if|when) (the (thoughts|urges)|it gets|\
             things get|you feel|i feel|you start)",
        "(keep|stay) (yourself|you|myself) safe (tonight|this|until|at)",
        "(safety|crisis) plan",
        "(plan|keep*) ..4 (stay safe|keep (you|yourself|me|myself) safe) ..3 (tonight|this|week|together|\
             until|between|at home)",
        "(call|text|ring|phone|contact|use|number) ..4 (crisis|suicide|lifeline|helpline|hotline|\
             samaritans) ..1 (line|hotline|lifeline|team|number|service|prevention)?",
        "(crisis|suicide) (line|hotline|lifeline|helpline|team|number|text line)",
        "(call|text|dial|ring) ..3 (nine eight eight|988|911|nine one one|999|112|one one two|111)",
        "(call|go|come|get|drive|take) ..6 (emergency room|emergency department|nearest emergency|\
             nearest hospital|er $|er if|er or)",
        "(take|remove|lock|locked|lock up|give|hand|hold|holds|store|get|keep|keeps|kept|put|pour|pours|\
             flush|drop) ..6 (@pills|@gun|knives|razor*|blades|rope|alcohol|wine|ammunition) ..6 (out of the \
             house|away|up|to (your|my|the|a)|for (you|me|now|safekeeping)|at (his|her|their)|locked|in a \
             (safe|lockbox|locked)|down the (sink|drain|toilet)|out of reach)",
        "(your|my|the|down|write|list|of|these) warning signs",
        "(stay|staying|sleep|sleeping) (with|at) ..6 (tonight|next few nights|few days|so i am not alone|\
             so you are not alone|until it is safe|until this)",
        "(not be|not being|not to be) alone (tonight|this weekend|for the next)",
        "(safe house|women's shelter|womens shelter|emergency shelter)",
        "(admit*|admission|check*) ..4 (psychiatric|inpatient) ..1 (unit|ward|hospital|facility)?",
    ])
    .unless(&[
        "(toddler|childproof|kids|puppy)",
        "(went|drove|ended up|came|was taken|rushed) ..4 (emergency|er)",
        "(not|no) (need|want|have|made|make) ..2 (safety|crisis) plan",
        "(take|taking|keep) ..3 @pills ..4 (morning|daily|with (food|breakfast)|every|dinner)",
    ]),
];

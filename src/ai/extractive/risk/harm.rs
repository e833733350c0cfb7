//! Rules about harm: to oneself, to others, by others, and the loss of control over it.

use super::rules::Rule;
use crate::ai::RiskKind::{AbuseOrNeglect, HarmToOthers, LossOfControl, SelfHarm};
use crate::ai::RiskSeverity::{High, Moderate};

/// In order of precedence: where phrases overlap, the first rule has the words.
pub(super) const RULES: &[Rule] = &[
    Rule::own(
        LossOfControl,
        High,
        "Doubt about staying safe or in control was voiced.",
    )
    .says(&[
        "(could|might|may|will|going to|about to) (just)? snap",
        "i (scare|frighten|scared) myself",
        "(urge|urges|impulse|impulses) ..4 (so|too|really|very|getting) (strong|intense|bad)",
        "not (sure|know) (if|that|how|whether)? ..1 i can (resist|control|stop|hold|keep|fight) ..3",
        "not leave me alone (with|tonight|now|here|$)",
        "(not|no longer|never) (really|fully|completely|even)? trust myself",
        "(afraid|scared|worried|frightened|terrified|frightens|scares|fear) ..3 (of what i|what i) (am|\
             might|could|may|will|would)",
        "(afraid|scared|worried|frightened|terrified|fear) ..2 i ..3 (do something|hurt myself|harm \
             myself|act on|lose control|snap|not be able to stop|end up)",
        "(afraid|scared|frightened|terrified) of (myself|my own (mind|thoughts|head)|how (close|far|easy|\
             easily|much))",
        "(might|may|could|going to|about to|want to|will|would|almost) ..1 (do something (stupid|bad|\
             drastic|terrible|to myself|rash|crazy|awful|dangerous)|act on (it|them|these|those|the))",
        "do something (stupid|drastic|to myself|i (can not|could not|will|would|might|cannot) (undo|take \
             back|regret))",
        "(losing|lost|lose) control (of|over) (myself|what i|my (actions|anger|hands|impulses|temper|\
             body|drinking))",
        "(losing|lost|lose) (all)? control (completely|anymore|and|again|one day|$)",
        "(not|unable|not able|not sure i can|not know if i can|not know whether i can|not think i can) \
             ..4 (keep|stay|be|remain) (myself)? safe",
        "not (feel)? ..2 safe (with|by|around|alone with|from|being with) myself",
        "not (feel)? ..2 safe (alone|tonight|on my own|being alone|when i am alone)",
        "not (promise|guarantee|say for sure|swear|be sure) ..6 (not|safe|anything|myself|never)",
        "not (be)? (left)? (safe)? (to)? be (left)? alone (tonight|right now|with)",
        "should not be left alone",
        "not know what i (might|am going to|am capable of|will|would|could) do (if|when|tonight|next|\
             anymore|to myself|one)",
        "what i am capable of",
        "(could|can|did) not (stop|control|hold) (myself|it|my (hands|impulses|urges|actions|anger)|the \
             (urge|urges|impulse|impulses)|these (urges|impulses)) (anymore|this time|$|when|from (hurt*|\
             cut*|hit*|do*|act*))",
        "(urge|urges|impulse|impulses|thoughts) ..2 (too strong|stronger and stronger|hard to resist|\
             harder to resist|overwhelming|uncontrollable|take over|taking over|get the better)",
        "(not resist|hard to resist|hardly resist) ..3 (urge|urges|impulse|thoughts)",
        "something (takes|took|comes|came) over me",
        "(i|am|feel|feeling|felt|was) (feel|am)? (completely|totally|so|getting)? out of control",
        "scared ..3 (go|going) through with it",
    ])
    .unless(&[
        "myself (with|around) (money|credit|chocolate|sugar|sweets|food|decisions|cards|cake|cookies)",
        "trust myself to (make|choose|decide|pick|remember|speak|present|cook)",
        "do without",
        "(panic|elevator|breath*|dentist|airplane|plane) ..12 control",
        "control ..8 (panic|elevator|car|ball|meeting|budget)",
        "(laughing|crying|smiling|spending|shopping|eating|buying|scrolling)",
        "what i (might|could|will|would) (say|eat|wear|find)",
    ]),
    Rule::own(SelfHarm, High, "Self-harm or the urge to it was mentioned.")
        .says(&[
            "cutting ..2 (only|calms|helps|makes me feel|gives me)",
            "carv* ..4 (into|in|on) my ..1 (arm*|leg*|skin|thigh*|wrist*|stomach)",
            "my skin ..4 (raw|bloody|bleed*)",
            "(nails|fingernails|needle|pin|tweezers) ..3 (into|in|under) my (skin|arm*|palm*|leg*|hand*|\
             wrist*)",
            "until (it|i|they|my ..1) (am|was|were|is|are|starts|started)? (bleed*|bled)",
            "(make|made|making) myself bleed",
            "relaps* ..4 (cutting|self harm*|hurting|burning)",
            "the (cutting|burning|self harm) (is|has|started|came|got|helps|helped|makes)",
            "(punch*|hit*) (the|a|walls) ..2 (until|so hard) ..6",
            "(cut|cutting|cuts|burn|burned|burning|burnt|scratch|scratched|scratching|hit|hitting|punch|\
             punched|punching|harm|harming|harmed|hurt|hurting|injure|injured|injuring|bite|biting|bit|\
             pinch*|slap|slapped|slapping) myself",
            "(urge|urges|need|impulse) to (cut|hurt|burn|harm|scratch|self harm|injure)",
            "(feel|felt|feeling) like (cutting|hurting|burning) (myself|again|$)",
            "self (harm*|injur*|mutilat*)",
            "(started|start|been|back to|relapsed into|went back to|gone back to|am|keep) cutting (again|\
             myself|every|at night|when|$)",
            "(cuts|scars|burns|burn marks|cut marks|fresh marks|marks) (all)? (over|up and down|on|up|along|\
             across) my ..2 (arm*|thigh*|leg*|wrist*|stomach|hips)",
            "(cut|cutting|scratch*|burn*|carv*|slic*|dig*|dug) (lines|words|deep)? (my|into my|up my|on my|\
             at my|along my|across my) ..2 (arm*|thigh*|leg*|wrist*|skin|stomach|hips|forearm*|flesh)",
            "(razor|razors|blade|blades|lighter|cigarette|scissors|knife|needle|glass|safety pin) ..5 my \
             (own)? ..1 (arm*|skin|thigh*|leg*|wrist*|forearm*)",
            "(razor|razors|blade|blades) (hidden|in my|under my|in the|taped)",
            "(hide|hid|hiding|keep|kept|bought|have|found) ..3 (razor blade*|razors|blades|blade)",
            "(bang*|hit*|smash*|slam*|bash*) my (head|fist|fists|hand|hands) ..1 (against|on|into|through)",
            "long sleeves ..8 (hide|cover|see|notice|arms|marks|cuts)",
            "only thing that helps ..3 (pain|blood|cutting|hurting)",
            "(see|seeing|saw) (my own)? blood ..6 (calm*|relief|relieved|better)",
        ])
        .unless(&[
            "hurt* myself ..4 (playing|running|gym|work|lifting|football|soccer|falling|fell|skiing|garden*|\
             exercis*|training|moving|bike|stairs|tennis|dancing|slipped|tripped|accident*)",
            "(hurt|injur*|hit) ..2 myself by accident",
            "cut myself (shav*|while|off|some|slack|loose|free|a|on|cook*|chopp*|short|opening|peeling|with \
             the kitchen)",
            "(shav*|cook*|chopp*|kitchen|slack|accident*|onion*|vegetables|stove|oven|iron|kettle|frying|\
             sunburn*|fence|gardening|thorns|cat scratched)",
            "burn* myself out",
            "(brick wall|like banging|like hitting)",
            "(hit|slap*|pinch*) myself (with|for|to see)",
            "cutting (carb*|sugar|down|back|out|grass|hair|corners|coupons)",
            "hurt myself more by",
        ]),
    Rule::own(SelfHarm, High, "Self-harm on purpose was reported.").says(&[
        "(burn*|hit|cut|scald*|hurt|scratch*) (my|myself) ..8 (on purpose|deliberately|intentionally)",
    ]),
    Rule::own(
        HarmToOthers,
        High,
        "Thoughts, threats or acts of hurting somebody else were mentioned.",
    )
    .says(&[
        "i ..1 (threw|hurled) ..4 at (him|her|them|my (@household|@child|brother|sister))",
        "(keep|keeping|kept|carry|carrying) a (knife|gun|bat|weapon|hammer) ..6 (in case|for|if|because|\
             next time|comes|see)",
        "(told|said|swore|promised) ..4 i would (kill|hurt|burn|stab|shoot|beat|break) (him|her|them|his|\
             their|my ..1 (@household|boss|neighbor|brother))",
        "(want|wanted|wanting|plan*|thought*|think|thinking|fantas*|imagin*|urge|urges|dream*|tempted|\
             feel like|feeling like|felt like|images|picture*|going|ready|decided) ..4 (kill*|hurt|hurting|\
             stab*|shoot|shooting|strangl*|chok*|beat|beating|punch*|smash*|poison*|attack*|smother*|\
             suffocat*|drown*|shak*|push* ..3 (down|off|in front)) (him|her|them|someone|somebody|people|\
             everyone|everybody|my ..1 (@household|@child|boss|brother|sister|neighbor|roommate|coworker|\
             colleague|manager|landlord|teacher)|the (baby|kids|children|man|guy|neighbor|driver)|his|their|\
             that (man|woman|guy|bastard|bitch))",
        "(hurt|hurting|harm|harming|kill|killing) (others|other people|someone else|somebody else|\
             innocent people)",
        "i ..2 (hit|punched|slapped|choked|strangled|shook|attacked|stabbed|shoved|kicked|smacked|beat) \
             (my ..1 (@household|@child|brother|sister|dog|cat|roommate|boss|coworker)|him|her|them|the \
             (kids|baby|children|dog))",
        "(my hands|i) ..3 (around his|around her|his|her) (throat|neck)",
        "(pushed|shoved|threw|grabbed) (him|her|my (@household|@child)) (against|down|across|into the \
             wall|by the (throat|neck|hair|arm))",
        "make (him|her|them) (pay $|suffer|pay for what|regret)",
        "(he|she|they) deserve* to (die|suffer|be killed)",
        "(bring|take|took|brought|carry|carrying|bought|buy) a (gun|knife|weapon) (to|with|for|into) \
             (work|school|his|her|their|protection|me|the)",
        "wait* for (him|her|them) ..4 (knife|gun|bat|hammer)",
        "(burn down|blow up|shoot up|set fire to) ..1 (the|his|her|their|that) (house|school|office|\
             place|building|car|church)",
        "(burn|burning) (the|his|her|their) (house|school|office|place|building) down",
        "homicid*",
        "violent (thoughts|urges|fantasies|impulses)",
        "(afraid|scared|worried|terrified|fear) ..3 i ..3 (hurt|harm|kill|hit|shake|drop|smother|stab|\
             attack) (him|her|them|someone|somebody|people|the (baby|kids|children)|my (@household|@child))",
        "i ..2 threatened (to ..2 (kill|hurt|hit|stab|shoot|beat)|him|her|them|my) ..2 (with|if|him|her|\
             them|my)?",
    ])
    .unless(&[
        "(hurt|hurting) ..4 feelings",
        "(beat|beating) ..5 (chess|tennis|game|race|cards|record|competition|monopoly)",
        "shoot (him|her|them) (a|an) (email|text|message)",
        "(embarrass*|just joking|was joking|only joking|as a joke|just kidding|laughing|prank|video game)",
        "on the swing",
        "shook (his|her) hand",
        "(high five|pillow fight)",
    ]),
    Rule::named(
        AbuseOrNeglect,
        High,
        "Violence or abuse, suffered or in the home, was mentioned.",
    )
    .says(&[
        "(not|never) allowed to (leave|go out|see|have|talk|speak|work|use) ..6 (without him|without her|\
             without permission|he|him|$)",
        "(did|does|do|would) not (give|buy|make) (us|me|the kids|the children) (any)? (food|anything to \
             eat|dinner|clothes)",
        "made me (touch|kiss|undress|watch|do (things|stuff|it)|strip|sleep with|have sex)",
        "(did|does|doing|done) (things|something|stuff|bad things) to me",
        "i (have|had|got) ..2 (bruises|a black eye|marks) ..6",
        "(@household|stepfather|stepdad) ..3 (hits|hit|beats|beat|slaps|slapped|kicks|kicked|whips|\
             whipped|chokes|choked|hurts) (him|her|us|them)",
        "there (was|is) (no food|nothing to eat|no heat)",
        "@adult ..5 (hit|hits|hitting|beat|beats|beating|punch*|slap*|chok*|strangl*|rape*|molest*|\
             assault*|kick|kicks|kicked|kicking|shov*|whipp*|smack*|pinned|attack*|grop*|stabb*|spank*|abus*|\
             burned|bit|spat on|spits on) me",
        "@adult ..5 (push*|grab*|drag*|threw|throw*|slam*|held|hold*|pull*) me (down|against|into|out of|\
             onto|over|across|by|around|off|through|up against|to the)",
        "@adult ..4 (throw*|threw|smash*|hurl*) ..5 (at me|at the wall|at my|at us|at the kids|at her|at \
             him|at his wife|across the room)",
        "@adult ..4 (twist*|grabb*|broke|squeez*|burn*|kick*|punch*|pull*) my (arm|wrist|hair|throat|\
             neck|ribs|rib|nose|finger*|jaw|stomach|face)",
        "hands (around|on|round) my (throat|neck)",
        "@adult ..3 threaten* (me|us|to (kill|hurt|hit|beat|shoot|stab|burn|take|leave|hurt))",
        "(threaten*|threat*|said he will|said he would|says he will|says he would|told me he would|swore \
             he would) to? (kill|hurt|shoot|beat|find|stab|burn) (me|us|the kids|my|himself|the dog)",
        "@adult ..2 hurt* (me|us) (physically|again|badly|when|if)",
        "@household ..4 (hit|hits|beat|beats|slap*|punch*|kick*|chok*|shak*|shook|grabb*|hurt|hurts|\
             whipp*|spank*|burn*|lock*|scream* at|throw*|threw|shov*|push*) (the|my|our|her|his) ..1 (@child|\
             @relative)",
        "(he|she) ..3 (hit|hits|beat|beats|slap*|punch*|kick*|chok*|shak*|shook|hurt|hurts|whipp*|spank*|\
             lock*|shov*) (the|my|our) ..1 (@child|@relative)",
        "(was|were|been|being|got|get|gets|am) ..2 (abused|molested|raped|assaulted|neglected|battered|\
             groped|strangled|choked|beaten (up)? (by|as|when|at home|regularly|every|with|badly|so|for))",
        "(sexually|physically|emotionally|verbally) ..1 (abus*|assault*|violent)",
        "(sexual|physical|emotional|verbal|child|elder) (abuse|violence|assault)",
        "abusive (relationship|marriage|husband|wife|father|mother|partner|home|ex|boyfriend|girlfriend|\
             household|stepfather|childhood)",
        "domestic violence",
        "touch* me (inappropriately|there|in ways|in a way|where|at night|down|when i was|under)",
        "(force* himself|forc* itself|himself) on me",
        "forc* me (to (have|touch|do|sleep|watch|perform|strip)|into (sex|bed|it))",
        "(came|comes|come) into my (room|bed|bedroom) at night",
        "against my will",
        "(will|would|does|did) not let me (leave|out|see (my|any)|have (any)? (money|my|a)|use (the|my)|\
             talk to|speak to|go out|eat|sleep|work|go anywhere)",
        "(lock*|chain*|tied) (me|us|the (kids|children)|him|her|my (brother|sister)) (in|up|out|inside|\
             to)",
        "(controls|takes|took|checks|tracks|monitors|controlled|tracked) (all)? (of)? my (money|phone|\
             every move|paycheck|passport|location|wages|car keys)",
        "(afraid|scared|terrified|frightened) (of|to go) (him|home|going home|my (@household)|what (he|\
             she) (will|might|would|could|may))",
        "not (feel|feeling|really)? ..1 safe (at home|in my own home|in my home|in my house|in the house|\
             with him|with her|around him|there|going home)",
        "(bruise*|black eye|broken rib*|split lip|fractured) ..8 (he|she|husband|boyfriend|dad|father|\
             wife|girlfriend|stepfather|partner|mother|my ex)",
        "(he|she|husband|boyfriend|dad|father|stepfather|partner|mother) ..4 (left|gave) me ..3 (bruise*|\
             black eye|marks|scar*)",
        "(no food|no heating|not any food|nothing to eat) (in the house|at home|for the kids|for days|in \
             the fridge)",
        "(leave|leaves|left|leaving) ..1 (the|my|our|her|his|me|us|them) ..2 (alone|home alone|by \
             (myself|himself|herself|themselves)) ..3 (night*|days|weekend|overnight|hours|at home|in the \
             house)",
        "(not|never|nobody|forgets to|forgot to) ..1 (feed|fed|feeds) (the|my|us|me|them|him|her)",
        "(to (bed|school|sleep) hungry|starving as a child)",
        "(restraining|protective|protection|no contact) order",
        "child protective services",
        "(walk*|live|living) on eggshells ..6 (he|him|husband|home|temper|drink*)",
    ])
    .unless(&[
        "(bruis*|marks) ..8 (fell|fall|falling|bike|sport|football|soccer|bump*|clumsy|blood test|exam|\
             hiking)",
        "(restaurant|buffet|flight|conference|airport|camping)",
        "good things",
        "(beat|beats|beating|beaten) me (at|to|in|by)",
        "(hit|hits) me (up|that|how|hard that|all at once|out of nowhere|then|suddenly|like|why)",
        "with (a|the|that) (question|bill|news|email|request|deadline|surprise)",
        "(push*|kick*) me (to|out of (the|my) comfort|toward*)",
        "(boss|manager|work|company|office|meeting) ..6 not let me",
        "not let me ..4 (early|overtime|vacation)",
        "throw* me (a|off)",
        "threw me (a|off)",
        "(grief|sadness|loss|wave|waves|realization|anxiety|tiredness|depression) (just|really)? (hit|\
             hits) me",
        "(chess|tennis|monopoly|video game|playing cards|as a joke|just joking)",
        "(volunteer*|shelter|documentary|article|training|course|lecture) ..6 (violence|abuse)",
        "(violence|abuse) (training|course|lecture|shelter|awareness|unit)",
    ]),
    Rule::named(
        AbuseOrNeglect,
        Moderate,
        "Somebody feels unsafe with a person close to them.",
    )
    .says(&[
        "(he|she|my ex) follow* me (home|to|from|everywhere|around)",
        "(he|she|my ex) ..4 wait* ..3 (outside my|at the corner|in front of my|by my car)",
        "(bullied|bullying) ..4 (hit|beat|kick*|threaten*|push*)",
        "stalk* me",
        "@adult ..3 (keeps|kept) (following me|waiting outside my (house|work|home|door|job|apartment))",
    ])
    .unless(&["(instagram|facebook|dog|cat|duck)"]),
];

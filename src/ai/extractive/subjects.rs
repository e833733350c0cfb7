//! The subjects of therapy by their word families, and the words that carry no subject.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Topics and the words they are recognised by.
pub(super) const TOPICS: &[(&str, &str)] = &[
    (
        "suicidal thoughts",
        "suicid*, (kill|killing|hurt|hurting|harm|harming) (myself|yourself), (end|ending) (my|your) life, \
         (want|wanted|wish*) to die, not want to (live|be alive|be here), wanting to be alive, sleeping \
         pills",
    ),
    ("self-harm", "self harm*, (cut|cutting|burn*|hurt|hurting) (myself|yourself), cutting again"),
    (
        "safety planning",
        "safety plan, crisis (line|plan|team|hotline), warning signs, emergency room, stay safe, safer, \
         safety",
    ),
    (
        "alcohol",
        "alcohol, drinking, drunk, wine, beer*, vodka, whisk*, sober*, sobriety, hangover, relapse*, \
         bottle every",
    ),
    ("drug use", "drugs, cocaine, heroin, weed, cannabis, marijuana, opioid*, using again, meth, withdrawal"),
    ("sleep", "sleep*, slept, insomnia, nightmare*, asleep, awake, bedtime, nap, naps, tired"),
    (
        "anxiety and worry",
        "anxi*, worry*, worri*, nervous*, afraid, tense, overthink*, rumina*, scared, fear*, dread*",
    ),
    ("panic attacks", "panic*, hyperventilat*, heart ..2 (racing|pound*), could not breathe, faint"),
    (
        "low mood and depression",
        "depress*, mood, sad, sadness, empty, emptiness, hopeless*, flat, cry*, cried, miserable, \
         motivation, pointless, numb, no energy",
    ),
    (
        "grief and loss",
        "grief, griev*, funeral, died, death, passed away, mourn*, widow*, grave, cemetery, bereave*, \
         miscarriage",
    ),
    (
        "divorce and separation",
        "divorc*, separat*, breakup, broke up, ex (husband|wife|boyfriend|girlfriend), custody, left me",
    ),
    (
        "relationship with partner",
        "husband, wife, partner, boyfriend, girlfriend, marriage, married, relationship*, dating, spouse, \
         fiance, intimacy",
    ),
    (
        "family",
        "family, mother, father, mom, mum, dad, parents, sister*, brother*, grandmother, grandfather, \
         aunt, uncle, cousin*, relatives, in laws",
    ),
    (
        "parenting and children",
        "kids, children, son, daughter*, baby, toddler, parenting, teenager*, bedtime routine, homework \
         with",
    ),
    (
        "domestic violence and abuse",
        "abus*, (hit|hits|beat|slapped|choked|pushed|shoved) me, violen*, restraining order, shelter, \
         afraid of (him|her), threaten*",
    ),
    (
        "work stress",
        "work, job, boss, manager, colleague*, coworker*, office, meeting*, deadline*, overtime, \
         promotion, fired, shift*, team, burnout, burned out, workload, client*",
    ),
    (
        "school and studies",
        "school, college, university, exam*, class, classes, teacher*, studying, grades, thesis, \
         professor, semester",
    ),
    (
        "conflict and communication",
        "argu*, fight*, fought, conflict*, conversation*, shout*, yell*, raised my voice, apologiz*, \
         communicat*, disagree*",
    ),
    (
        "boundaries and saying no",
        "boundar*, (say|saying|said) no, said yes, limits, refus*, assertive*, people pleas*, guilty for, \
         take advantage, polite refusal",
    ),
    (
        "self-esteem and self-criticism",
        "failure, worthless, not good enough, good enough, self esteem, self worth, critic*, incompetent, \
         stupid, lazy, ashamed of myself, hate myself, confiden*, perfection*, that voice",
    ),
    ("self-compassion", "self compassion, kind* (to|sentence*), compassion*, forgive myself, gentle with"),
    (
        "negative thoughts",
        "thought record*, automatic thought*, catastroph*, balanced thought*, evidence, negative thought*, \
         intrusive, worst case, (negative|anxious|racing|dark) thoughts, unhelpful thought*",
    ),
    ("coping skills and breathing", "breath*, grounding, coping, cope*, skill*, relax*, mindful*, meditat*"),
    ("exposure and avoidance", "exposure*, avoid*, face (my|your) fear*, run away from"),
    (
        "exercise and activity",
        "exercis*, walk*, running, jog*, gym, yoga, cycling, swim*, activity, activities, guitar, paint*, \
         garden*, hobby, hobbies",
    ),
    (
        "medication and health",
        "medication*, meds, dose, doses, doctor*, prescri*, side effect*, tablet*, psychiatr*, sertraline, \
         pills, coffee, caffeine, physical",
    ),
    (
        "eating and appetite",
        "appetite, hungry, eating, weight, pounds, binge*, purg*, diet*, meals, calories, body image",
    ),
    (
        "chronic pain and illness",
        "pain clinic, chronic*, migraine*, cancer, diagnos*, illness, surgery, back pain, symptom*",
    ),
    ("trauma", "trauma*, flashback*, ptsd, triggered, assault*, accident, abused, combat, the war"),
    ("anger", "anger, angry, rage, furious, temper, snapped, irritab*, resent*"),
    ("guilt and shame", "guilt*, shame*, ashamed, my fault, blame*"),
    (
        "loneliness and withdrawal",
        "lonely, loneliness, alone, isolat*, withdr*, nobody to talk, stopped answering, pulling away, not \
         want to see anyone",
    ),
    ("friends and social support", "friend*, support*, neighbor*, social, support group, reach* out"),
    (
        "social anxiety",
        "social anxiety, parties, party, strangers, public speaking, presentation*, judge me, staring",
    ),
    ("money", "money, debt*, rent, bills, afford*, mortgage, financ*, loan*, salary, bankrupt*, savings"),
    ("housing and moving", "evict*, apartment, landlord, moving, moved house, homeless*, new city"),
    (
        "obsessions and compulsions",
        "obsess*, compuls*, checking the, ocd, contaminat*, rituals, wash* my hands",
    ),
    ("unusual experiences", "voices, hallucinat*, paranoi*, spying, watching me"),
    ("identity and sexuality", "identity, gay, lesbian, transgender, coming out, came out, gender, queer"),
    ("pregnancy and birth", "pregnan*, postpartum, birth, newborn, ivf, fertility"),
    ("retirement and ageing", "retire*, aging, ageing, nursing home, dementia, caregiv*"),
    ("faith and meaning", "church, faith, pray*, spiritual*, religio*"),
];

/// Words that carry no subject.
pub(super) static STOPWORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "a about above actually after again against ago all almost also always am an and another any anybody \
     anything \
     anyway are around as ask asked at away back be because been before being below better between both bit but by \
     call came can come coming could day days did different do does doing done down during each either else end even \
     every everybody everything exactly far feel feeling feels felt few find fine first for from get gets getting \
     give go goes going gone good got had happen happened happening has have having he hear heard hello help her here \
     hers herself hi him himself his hour hours how however i if in instead into is it its itself just keep kept kind \
     know last late later least left less let life like little long look looked looking lot made make makes making \
     many may maybe me mean means might mine minute minutes moment month months more morning most mostly much must my \
     myself need needed never new next nice night nights no nobody none nor not nothing now of off often oh okay on \
     once one only or other others our ours out over own part people perhaps please point probably put quite really \
     remember right said same saw say saying says see seem seems seen session several shall she should since so some \
     somebody someone something sometimes soon sort sounds start started still stuff such sure take taken talk \
     talked talking tell than thank thanks that the their theirs them themselves then there these they thing things \
     think this those though thought through time times to today together told tomorrow too took tried try trying \
     two under until up us use used usually very want wanted was way we week weeks well went were what when where \
     whether which while who whole whose why will with without wonder would year years yeah yes yesterday yet you \
     your yours yourself three four five six seven eight nine ten monday tuesday wednesday thursday friday saturday \
     sunday ask bad hard able might half enough somehow uh um mm hmm let's guess"
        .split_whitespace()
        .collect()
});

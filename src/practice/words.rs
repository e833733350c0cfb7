//! What made-up notes are put together from.

/// Something to talk about. Each statement comes with the words it claims to rest on.
pub(super) struct Theme {
    pub(super) topic: &'static str,
    pub(super) sentences: [&'static str; 2],
    pub(super) strategies: [(&'static str, &'static str); 2],
    pub(super) tasks: [(&'static str, &'static str); 2],
}

pub(super) const FIRST_NAMES: [&str; 24] = [
    "Alma", "Bruno", "Clara", "Dario", "Edda", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Levi",
    "Mila", "Nils", "Olga", "Pablo", "Rosa", "Samir", "Thea", "Umut", "Vera", "Willem", "Yuna", "Zoe",
];

pub(super) const LAST_NAMES: [&str; 24] = [
    "Ahlberg",
    "Brandt",
    "Castillo",
    "Demir",
    "Ekström",
    "Ferrari",
    "Grünwald",
    "Horváth",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Novák",
    "Okoye",
    "Pereira",
    "Quist",
    "Rossi",
    "Şahin",
    "Tanaka",
    "Ullrich",
    "Varga",
    "Wójcik",
    "Zeller",
];

/// How a session begins, by mood.
pub(super) const OPENINGS: [[&str; 2]; 5] = [
    ["The week was described as very hard.", "The session began slowly, after a week with little strength."],
    ["The week was described as rather heavy.", "The session began in low spirits."],
    ["The week was described as neither good nor bad.", "The session began calmly."],
    ["The week was described as mostly good.", "The session began in good spirits."],
    ["The week was described as the best in a long time.", "The session began with good news."],
];

pub(super) const CLOSINGS: [&str; 4] = [
    "The hour ended on time and calmly.",
    "Towards the end there was room for what had gone well.",
    "Some of it was left for next time.",
    "The last minutes were used to sum up.",
];

#[rustfmt::skip]
pub(super) const THEMES: [Theme; 20] = [
    Theme {
        topic: "work stress",
        sentences: ["The deadlines of the week were gone through one by one.", "Much time was given to the many evenings spent at work."],
        strategies: [("Planning a break into every working day", "a walk around the block at noon does me good"), ("Ending work at a fixed hour", "at six I close the laptop, whatever is left")],
        tasks: [("Write down three tasks that can wait", "I could make a list of what can wait"), ("Leave on time on two days", "Tuesday and Thursday I will leave at five")],
    },
    Theme {
        topic: "sleep",
        sentences: ["Nights of lying awake were looked at more closely.", "A quieter hour before bed was tried out in words."],
        strategies: [("Getting up at the same time every day", "I set the alarm for seven, on Sundays too"), ("Leaving the phone outside the bedroom", "the phone stays in the kitchen now")],
        tasks: [("Keep a sleep diary until next time", "I will write down when I fall asleep"), ("Read for twenty minutes before bed", "a few pages instead of the news")],
    },
    Theme {
        topic: "anxiety",
        sentences: ["A situation that brought worry was taken apart step by step.", "What happens in the body when worry rises was put into words."],
        strategies: [("Breathing out for longer than in", "four in and six out, that helped on the train"), ("Naming five things in the room", "I counted what I could see until it passed")],
        tasks: [("Practise the breathing once a day", "every morning, before the coffee"), ("Take the bus for two stops", "two stops, and then I can still walk")],
    },
    Theme {
        topic: "family conflict",
        sentences: ["The quarrel of the weekend was told from both sides.", "Old roles in the family came up again."],
        strategies: [("Leaving the room before it gets loud", "I said I need ten minutes, and went outside"), ("Speaking of one's own feelings first", "I told her that I was hurt, not that she is wrong")],
        tasks: [("Ring the sister for a short talk", "a quarter of an hour, no longer"), ("Write the letter that need not be sent", "I might write it, and keep it")],
    },
    Theme {
        topic: "grief",
        sentences: ["Memories of the one who is missing had room.", "A first anniversary is near, and was talked about."],
        strategies: [("Keeping a fixed hour for remembering", "on Sunday evenings I light the candle"), ("Letting others help with small things", "my neighbour cooked, and I let her")],
        tasks: [("Choose three photographs", "three of them, for the frame"), ("Visit the place together with the brother", "he said he would come along")],
    },
    Theme {
        topic: "self-esteem",
        sentences: ["The inner critic was given a voice, and an answer.", "A compliment was looked at instead of waved away."],
        strategies: [("Answering oneself as one would a friend", "I would never talk to her like that"), ("Writing down what was managed", "three things a day that I got done")],
        tasks: [("Collect one good thing an evening", "one line each evening, that is possible"), ("Ask a colleague for an opinion", "I could ask Thomas what he thinks")],
    },
    Theme {
        topic: "perfectionism",
        sentences: ["What good enough would look like was drawn up for one task.", "The price of never being finished was talked about."],
        strategies: [("Setting an end before beginning", "one hour, and then it is sent"), ("Handing in a draft on purpose", "I sent it with the mistake in it")],
        tasks: [("Leave one thing unfinished", "the windows can stay as they are"), ("Stop a task after thirty minutes", "I will set the kitchen timer")],
    },
    Theme {
        topic: "loneliness",
        sentences: ["The long evenings alone were described hour by hour.", "People who might be rung up were listed."],
        strategies: [("Planning company for the weekend", "on Saturday I go to the choir"), ("Greeting the same people every day", "the man in the bakery knows me by now")],
        tasks: [("Go to the choir once", "just once, to listen"), ("Answer the message of an old friend", "she wrote in spring, I never answered")],
    },
    Theme {
        topic: "relationship",
        sentences: ["A talk with the partner was prepared.", "Closeness and distance of the last weeks were put in pictures."],
        strategies: [("Keeping an evening a week for each other", "Wednesday is ours, without telephones"), ("Asking before advising", "I asked whether he wants advice at all")],
        tasks: [("Ask one open question a day", "I will ask how it really was"), ("Plan an evening out", "we could go to the cinema again")],
    },
    Theme {
        topic: "setting boundaries",
        sentences: ["A no that was said this week was looked at with some pride.", "Requests that are hard to turn down were sorted."],
        strategies: [("Asking for time before answering", "I say that I will let them know tomorrow"), ("Saying no without a reason", "no, I cannot, and nothing else")],
        tasks: [("Turn one request down", "the extra shift, I will say no"), ("Switch the phone off after eight", "after eight nobody reaches me")],
    },
    Theme {
        topic: "low mood",
        sentences: ["Days without any drive were compared with those that were easier.", "Small things that still give pleasure were collected."],
        strategies: [("Beginning with the smallest step", "first only the shoes, then the door"), ("Going out by daylight", "half an hour in the park at noon")],
        tasks: [("Go for a walk on three days", "Monday, Wednesday and Friday"), ("Cook one meal with a friend", "she would bring the vegetables")],
    },
    Theme {
        topic: "rumination",
        sentences: ["Thoughts that go round in circles were written on cards.", "It was tried out what happens when a thought is only noticed."],
        strategies: [("Keeping a fixed time for worries", "a quarter of an hour at five, then it is over"), ("Writing thoughts down and closing the book", "once it is written it can stay there")],
        tasks: [("Keep the worry time on five days", "five days out of seven"), ("Notice three circles a day", "I count them like buses")],
    },
    Theme {
        topic: "panic",
        sentences: ["The moment in the lift was gone through slowly.", "What was avoided this week, and what was not, was written down."],
        strategies: [("Staying until it gets less", "I stayed, and it went down by itself"), ("Cold water on the wrists", "the cold brought me back")],
        tasks: [("Ride the lift for one floor", "one floor, with my brother"), ("Keep a record of each wave", "I write down how high it went")],
    },
    Theme {
        topic: "parenting",
        sentences: ["The mornings with the children were drawn as a plan.", "Patience and its end were talked about."],
        strategies: [("Getting up before the children", "those ten minutes are mine"), ("Praising what goes well", "I told him that I saw how he tried")],
        tasks: [("Play for ten minutes a day", "ten minutes on the floor, every day"), ("Share the evenings with the partner", "he takes Monday and Thursday")],
    },
    Theme {
        topic: "exams",
        sentences: ["The weeks until the exam were divided up.", "The last exam was remembered, with what had gone well in it."],
        strategies: [("Learning in blocks of forty minutes", "forty minutes, then I stand up"), ("Trying the exam at home", "I wrote it with the clock beside me")],
        tasks: [("Make a plan for the week", "one page, with free afternoons"), ("Register for the exam", "I will do it on Monday")],
    },
    Theme {
        topic: "social situations",
        sentences: ["The party of last week was replayed in small steps.", "What others may have thought was weighed against what they said."],
        strategies: [("Looking at others instead of oneself", "I looked at what colour their eyes were"), ("Arriving early", "when I am the first it is easier")],
        tasks: [("Ask a stranger for the time", "one stranger, on the way home"), ("Stay for half an hour", "half an hour, then I may go")],
    },
    Theme {
        topic: "anger",
        sentences: ["The outburst on Tuesday was followed back to its beginning.", "What lies under the anger was asked about."],
        strategies: [("Counting down from twenty", "at eleven I could speak again"), ("Running before talking", "I ran to the river and back")],
        tasks: [("Note the first sign each time", "my neck gets warm first"), ("Say sorry to the colleague", "I will tell her on Friday")],
    },
    Theme {
        topic: "money worries",
        sentences: ["The letters that lay unopened were put in order together.", "A month was reckoned through on paper."],
        strategies: [("Opening letters on one day a week", "Thursday is the day for letters"), ("Looking at the account with somebody", "with my sister beside me I could look")],
        tasks: [("Make an appointment at the advice centre", "I have the number already"), ("Write down what is spent", "everything above five")],
    },
    Theme {
        topic: "new beginnings",
        sentences: ["The first weeks in the new town were told.", "What was left behind and what was won stood side by side."],
        strategies: [("Keeping one old habit", "coffee at the window, as before"), ("Exploring one street a day", "yesterday I found the library")],
        tasks: [("Introduce oneself to the neighbours", "I will bring them something"), ("Look at one sports club", "they train on Mondays")],
    },
    Theme {
        topic: "separation",
        sentences: ["The flat that is only one's own now was described.", "What the two still have to settle was listed."],
        strategies: [("Keeping messages short", "only what concerns the children"), ("Planning the free weekends early", "otherwise Saturday is a hole")],
        tasks: [("Settle the date with the former partner", "the last weekend of the month"), ("Move one piece of furniture", "the table goes to the window")],
    },
];

"""The lesson in English: words and the jobs they do. Pure data."""

from __future__ import annotations

from .lessons import Intent, Lines, Script, Step, Term

_STEPS = (
    Step(
        name="nouns",
        teach=(
            "First, nouns.",
            "A noun is a name: it names a person, a place or a thing.",
            "Listen: the old bridge is open.",
        ),
        ask="Which word is the noun: old, bridge or open?",
        choices=("old", "bridge", "open"),
        hint="Ask yourself which of the words you could draw.",
        example="Here are a few more nouns: teacher, city, spoon.",
        explain=(
            "A bridge is a thing, and bridge is its name.",
            "So bridge is the noun.",
            "Old and open only tell us what the bridge is like.",
        ),
    ),
    Step(
        name="verbs",
        teach=(
            "Next, verbs.",
            "A verb says what somebody does, or what happens.",
            "Listen: the children sing loudly.",
        ),
        ask="Which word is the verb: children, sing or loudly?",
        choices=("children", "sing", "loudly"),
        hint="Ask yourself: what do the children do?",
        example="Here are a few more verbs: run, sleep, remember.",
        explain=(
            "What do the children do?",
            "They sing.",
            "Sing is what happens, so sing is the verb.",
        ),
    ),
    Step(
        name="adjectives",
        teach=(
            "Now, adjectives.",
            "An adjective stands beside a noun and tells us what it is like.",
            "Listen: she has a yellow umbrella.",
        ),
        ask="Which word is the adjective: has, yellow or umbrella?",
        choices=("has", "yellow", "umbrella"),
        hint="Ask yourself: what kind of umbrella is it?",
        example="Here are a few more adjectives: quiet, round, delicious.",
        explain=(
            "What kind of umbrella is it?",
            "A yellow one.",
            "Yellow describes the umbrella, so yellow is the adjective.",
        ),
    ),
    Step(
        name="adverbs",
        teach=(
            "Now, adverbs.",
            "An adverb tells us how something is done.",
            "Many of them end in L Y.",
            "Listen: he quietly opened the door.",
        ),
        ask="Which word is the adverb: quietly, opened or door?",
        choices=("quietly", "opened", "door"),
        hint="Ask yourself: how did he do it?",
        example="Here are a few more adverbs: gently, quickly, well.",
        explain=(
            "How did he open the door?",
            "Quietly.",
            "Quietly tells us how it was done, so quietly is the adverb.",
        ),
    ),
    Step(
        name="a small riddle",
        teach=(
            "Now a small riddle.",
            "This time I say one word, and you tell me its kind.",
            "The word is: kindness.",
        ),
        ask="Is kindness a noun, a verb, an adjective or an adverb?",
        choices=("noun", "verb", "adjective", "adverb"),
        hint="Kind describes a person. Kindness is the name of what that person has.",
        example="Words of the same family are happiness, darkness and friendship.",
        explain=(
            "You cannot draw kindness, and still it is the name of something.",
            "So kindness is a noun.",
            "Kind is the adjective, and kindly is the adverb: one family, three jobs.",
        ),
    ),
    Step(
        name="a sentence of your own",
        teach=("Last of all, it is your turn to speak.",),
        ask="Please say a short sentence about a garden.",
        choices=(),
        hint="You could begin with: in the garden there is.",
        example="Mine would be: the garden sleeps quietly under the snow.",
        explain=(
            "A sentence of your own is worth ten of mine.",
            "When you like, look for its noun and its verb: every full sentence has them.",
        ),
    ),
)

_LINES = Lines(
    heard=("I heard {}.", "I think you said {}.", "What reached me was {}."),
    confirm=("Did I get that right?", "Was that it?", "Is that what you said?"),
    heard_two="I heard more than one: {}.",
    which="Which one would you choose?",
    nothing_heard=(
        "I did not catch any words.",
        "Nothing reached me, I am afraid.",
        "I am listening, but I heard no words.",
    ),
    unsure_of_it=("I am not sure how that fits.", "I may have misheard you."),
    choose="You can say {}.",
    say_again=("Sorry, my ears are weak.", "Then I misheard, sorry."),
    never_mind=("Never mind my ears.", "Let us not fight with my ears.", "Let us go on together."),
    thanks_for_answer=("Thank you.", "Good, thank you.", "Then we understand each other."),
    my_answer=("Here is how I see it.", "This is what I would say.", "I would answer like this."),
    begin="Let us begin.",
    no_hurry=("No hurry.", "All right, whenever you like."),
    take_your_time=(
        "Take your time.",
        "Of course, think in peace.",
        "I am in no hurry.",
    ),
    stopped="I will be quiet. Say go on when you want me to continue.",
    repeat=("Of course.", "Gladly.", "Once more."),
    slower="Of course, I will speak more slowly.",
    slowest="This is as slowly as I can speak.",
    faster="All right, a little faster.",
    fastest="This is as fast as I dare to speak.",
    normal="Back to my usual pace.",
    skip=("Let us move on.", "All right, next."),
    unsure=("That is quite all right.", "Good that you say so."),
    no_hint="Say yes if I heard you well, and no if I did not.",
    where="We are at step {step} of {steps}: {name}.",
    where_ready="We have not begun yet. There are {steps} short steps.",
    where_done="We have finished all {steps} steps.",
    who=(
        "I am a small tutor made of rules, not a person.",
        "My lesson is written down, and my ears are not the best.",
        "That is why I tell you what I heard, and never give you marks.",
    ),
    help=(
        "You can say repeat, slower, faster, hint, example, skip, or where are we.",
        "Say wait when you want to think, and goodbye when you want to stop.",
        "You may interrupt me at any time.",
    ),
    restart="From the beginning, then.",
    wellbeing="I am well, thank you for asking.",
    welcome="You are welcome.",
    hello="Hello again!",
    resume=("I was saying:", "Let me finish my thought.", "To go on:"),
    still_here="I am still here.",
    not_again="I will stop here. Say go on when you want me to continue.",
    done_no="All right. Ask me about a word, or say goodbye when you like.",
    goodbye=("Goodbye!", "Thank you for learning with me.", "Come back soon."),
    gone="Goodbye!",
    either="or",
)

_INTENTS = {
    Intent.WHO: (
        "who are you", "what are you", "are you a robot", "are you human", "are you real",
        "what is your name", "what's your name", "your name",
    ),
    Intent.WHERE: (
        "where are we", "where am i", "which step", "what step", "how many steps",
        "how much is left", "how long will it take",
    ),
    Intent.WELLBEING: ("how are you", "how do you do", "how is it going"),
    Intent.SLOWER: (
        "slower", "slow down", "more slowly", "not so fast", "too fast", "speak slowly", "slowly",
    ),
    Intent.NORMAL: ("normal speed", "normal pace", "usual speed", "usual pace", "speak normally"),
    Intent.FASTER: ("faster", "speed up", "more quickly", "too slow", "speak fast", "hurry up"),
    Intent.RESTART: (
        "start over", "start again", "from the beginning", "from the start", "restart",
        "begin again",
    ),
    Intent.REPEAT: (
        "repeat", "say again", "say it again", "say that again", "once again", "once more",
        "one more time", "again please", "again", "pardon", "come again", "what did you say",
        "i did not hear", "i didn't hear", "i did not understand", "i don't understand", "sorry",
        "what was the question",
    ),
    Intent.UNSURE: (
        "i don't know", "i do not know", "don't know", "no idea", "not sure", "tell me",
        "what is the answer", "i give up", "give up",
    ),
    Intent.WAIT: (
        "let me think", "wait", "one moment", "just a moment", "one second", "just a second",
        "hold on", "give me a moment", "give me a second", "i am thinking", "i'm thinking",
        "stop", "be quiet",
    ),
    Intent.GOODBYE: (
        "goodbye", "good bye", "bye bye", "bye", "see you", "see you later", "hang up",
        "end the call", "end the lesson", "that is all for today", "i have to go", "i must go",
    ),
    Intent.CONTINUE: ("go on", "continue", "carry on", "keep going", "go ahead"),
    Intent.SKIP: ("skip", "skip it", "next", "next one", "next question", "move on"),
    Intent.HINT: ("hint", "a hint", "give me a hint", "clue", "help me with this"),
    Intent.EXAMPLE: ("example", "for example", "give me an example", "another example"),
    Intent.HELP: ("help", "help me", "what can i say", "what can i do", "commands"),
    Intent.THANKS: ("thank you", "thanks", "thank you very much"),
    Intent.HELLO: ("hello", "hi", "hey", "good morning", "good afternoon", "good evening"),
    Intent.NO: ("no", "nope", "not quite", "that's wrong", "i said something else"),
    Intent.YES: (
        "yes", "yeah", "yep", "yes please", "sure", "okay", "ok", "right", "correct",
        "that's right", "that is right", "exactly", "of course", "ready", "i am ready", "i'm ready",
        "let's go", "you did", "it is", "it was",
    ),
}  # fmt: skip

_TERMS = (
    Term(("noun", "nouns"), "A noun names a person, a place, a thing or an idea."),
    Term(("verb", "verbs"), "A verb says what somebody does, or what happens."),
    Term(("adjective", "adjectives"), "An adjective tells us what a noun is like."),
    Term(("adverb", "adverbs"), "An adverb tells us how, when or where something is done."),
    Term(("pronoun", "pronouns"), "A pronoun stands in for a noun: he, she, it, they."),
    Term(
        ("preposition", "prepositions"),
        "A preposition shows how things stand to each other: in, on, under, before.",
    ),
    Term(("conjunction", "conjunctions"), "A conjunction ties words together: and, but, because."),
    Term(("sentence", "sentences"), "A sentence is a whole thought; it has a noun and a verb."),
    Term(("syllable", "syllables"), "A syllable is one beat of a word: garden has two of them."),
    Term(("kindness",), "Kindness is what a kind person has."),
)

ENGLISH = Script(
    language="en",
    quotes=("“", "”"),
    greeting=(
        "Hello!",
        "I am your tutor, and today we look at words and the jobs they do.",
        "It takes about five minutes.",
        "You can say repeat, slower, help or goodbye at any time.",
    ),
    ready="Are you ready?",
    steps=_STEPS,
    closing=(
        "And that was our lesson.",
        "Nouns name, verbs do, adjectives describe, and adverbs tell us how.",
    ),
    once_more="Shall we go through it once more?",
    facts=(
        "Here is a curiosity: the shortest full sentence in English may be: go.",
        "Here is a curiosity: the word set has more than four hundred meanings.",
        "Here is a curiosity: almost no word rhymes with orange.",
        "Here is a curiosity: once, a nickname was an ekename, which meant an extra name.",
        "Here is a curiosity: the dot over a small letter i is called a tittle.",
    ),
    lines=_LINES,
    terms=_TERMS,
    asks_meaning=(
        "what is", "what's", "what are", "what does", "explain", "tell me about", "define",
        "what do you mean by", "meaning of", "remind me",
    ),
    intents=_INTENTS,
    controls=("repeat", "slower", "goodbye", "yes", "no", "help"),
)  # fmt: skip

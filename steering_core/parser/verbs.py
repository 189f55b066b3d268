"""Verbs, each list with what its words have in common.

What else is a verb, the tagger tells.
"""

from __future__ import annotations

import re

from .lists import listed


def _third_person(verb: str) -> str:
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "x", "z", "ch", "sh")) else f"{verb}s"


def _acting(verb: str) -> str:
    if re.fullmatch(r"[a-z]?[^aeiou][aeiou][^aeiouwxy]", verb):  # "sit", "drip"
        return f"{verb}{verb[-1]}ing"
    return f"{verb.removesuffix('e')}ing" if not verb.endswith(("ee", "ye", "oe")) else f"{verb}ing"


#: What something does by itself, of which a place can be told.
INTRANSITIVES = listed("""amble appear applaud arch argue arise ascend await babble balance bark beckon beg begin
    bend billow blaze blink bloom bob boil bounce bow branch bray browse bubble burn buzz camp cascade chat chatter
    cheer chirp circle clap climb cluster coil collapse compete converge cower crash crawl creep croak crouch
    crumble cry curl curve cycle dangle decay descend disappear dissolve dive doze dream drift drip droop drown
    dwell emerge end erupt exercise explode fade feed flap flee flicker flit float flutter fly forage fork frown
    gallop gather gaze gesture giggle glance glare gleam glide glimmer glisten glitter glow gossip graze grin grow
    growl gush hail hang hide hiss hobble hop hover howl huddle hum hunt jog jut kneel laugh lean leap lie limp
    linger live loiter loom lounge lurk march materialise materialize meander meditate melt merge mumble munch
    mutter nap neigh nest nestle nibble nod ooze orbit overflow paddle parade patrol pause pedal peek peep peer
    perch pirouette plead point pose practice practise pray preen protrude prowl pulse purr quarrel quiver radiate
    recline rehearse remain repose reside rest revolve rise roam roar rock roost rot rotate row sag saunter scamper
    scowl scream scurry scuttle seep shatter shelter shimmer shine shiver shout shudder sigh simmer sing sink sit
    skate ski skulk sleep slither slouch slumber slump smile smirk smoke smolder smoulder snake snarl sneak snooze
    snore snow soar sob sparkle spill spin splash splinter sprawl sprint sprout squat squirm stagger stalk stand
    stare start stay steam stoop stop stretch stroll strut stumble submerge surf surface swagger swarm sway swim
    swing swirl swoop teeter thrive throb tiptoe topple totter tower train tremble trickle trot trudge tumble
    twinkle twirl twist unfurl vanish waddle wade wait wander wave weep whirl whisper whistle wiggle wilt wind wink
    wither wobble wriggle yawn yell zigzag""")
#: The same of one: "hums", "sprawls".
INTRANSITIVES_OF_ONE = frozenset(map(_third_person, INTRANSITIVES))
#: Those among them that are rather plurals of nouns.
_PLURALS = listed("""lives lounges poses sinks stalks flaps drips spills sprints strolls trots arches barks bends
    blazes bows branches bubbles burns camps cheers clusters coils crashes cries curves cycles dreams ends exercises
    feeds forks gestures grins growls hops howls huddles laughs marches naps nests nods parades patrols pauses
    points pulses roars rocks rows screams shelters shouts sighs skates skis smokes snakes snows sparkles splashes
    sprouts starts steams stops surfaces surfs swarms swings towers trains twists waves whispers whistles winds
    winks""")
#: What says of something how it is.
BEING = listed("is are was were be being been looks seems remains appears")
COPULAS = INTRANSITIVES_OF_ONE - _PLURALS | listed("is are was were be sat stood lay")
TRANSITIVES = listed("""wearing holding carrying riding eating chasing pulling pushing watching kicking throwing
    catching showing featuring depicting containing made dressed wears holds carries rides eats chases shows has
    have looks walks runs jumps plays set put seen shown drawn kept hung strung asleep ablaze afloat aglow alight
    ajar adrift aloft depicts features wraps leads drives paints reads drinks cooks mends guards pours reading
    saying""")
#: Forms that follow a plural: "gulls circle", but "a stone circle".
PLURAL_VERBS = INTRANSITIVES | listed("""wheel play dance walk run watch fall scatter knot trace read talk spread
    cross rush race sail line flow blow fight work eat drink jump pass slide roll look burst bask kiss embrace hug
    meet share set picnic face crowd hold carry ride""")
#: Who stands so stands: "stands guard".
DUTIES = listed("guard watch")
#: Who does so upon something need not be borne by it.
_NOT_BORNE = listed("""hang lean dangle swing climb jut sway flap flutter wave point arch branch end start begin
    stop feed train compete chat argue quarrel practise practice rehearse exercise surf ski skate row pedal cycle
    dwell hail live shine glow gleam gaze stare glare glance peer peek gossip march parade patrol stalk prowl hunt
    orbit hover fly soar circle await remain reside converge merge dissolve fade vanish disappear appear materialize
    materialise""")
#: What else is done upon something that bears it; who leans or hangs "on" something isn't above it.
_BORNE = listed("""spread strewn sprawled slumped piled heaped scattered nestled huddled is are was were be being
    laying balanced set put stacked served laid mounted parked poised squatting basking dancing cooling glowing
    drying ticking enthroned left kept displayed arranged""")
#: By which one is above what else one would not be: "sitting on a wall".
PERCHED = listed("""sit sits sat sitting seated perch perches perched perching ride rides riding land lands landed
    landing settle settles settled stand stands stood standing built""")
SEATED = PERCHED | listed(
    "lie lies lay lying crouch crouches crouched crouching kneel kneels kneeling placed asleep curled"
)
#: By which one is above what one is "on".
POSTURES = (
    _BORNE | SEATED | {form(verb) for verb in INTRANSITIVES - _NOT_BORNE for form in (str, _third_person, _acting)}
)
#: How one is close by: "sits by the window", but "painted by the master".
ATTENDING = listed("""sits sat sitting stands stood standing waits waiting kneels kneeling parked lies lying seated
    resting""")
#: Who carries something has it where it is said to be: "carrying a village on its back".
CARRYING = listed("carrying carries holding holds balancing balances bearing bears with has having")
#: By these something is where it is said to be over something: "holds an umbrella over a kitten".
HOLDING = listed("holding holds hold lifting lifts raising raises dangling swinging")
#: What belongs to the verb before it: "rolls out the dough".
PARTICLES = listed("out up down off away back")
#: Participles without "-ed".
PARTICIPLES = listed("""hidden built caught stuck bent worn torn thrown woven cut lit sunk broken frozen fallen
    driven ridden eaten taken given written strewn woken chosen sewn sown hewn knit spun slung flung clad bound
    wound lain grown blown flown tied swept spread sung""")
#: What the plural forms are of one.
PLURAL_VERBS_OF_ONE = frozenset(map(_third_person, PLURAL_VERBS)) - _PLURALS

"""The English words that the parser goes by, each list with what its words have in common."""

from __future__ import annotations

from .lists import listed
from .verbs import COPULAS, TRANSITIVES

#: Direction words and the axis, x or y, that each fixes.
X = {"left": -1, "right": 1, "center": 0, "centre": 0, "middle": 0, "centered": 0, "centred": 0}
Y = dict.fromkeys(listed("above over atop top upper"), -1)
Y |= dict.fromkeys(listed("below under underneath beneath bottom lower foot"), 1)

# What holds a sentence together.
OWNERS = listed("my your his her its our their")
COUNTS = listed("some half both several many few two three four five six seven eight nine ten eleven twelve dozen")
#: After these no verb can stand.
ARTICLES = OWNERS | listed("a an the every")
DETERMINERS = COUNTS | ARTICLES | listed("each one this that these those any another")
PRONOUNS = listed("it them him he she they")
#: Of what was named before.
REFERRING = PRONOUNS | listed("his her its their")
RELATIVES = listed("which that who whom where whose")
LINKS = listed("and & plus or")
COORDINATORS = LINKS | listed(", but yet while whereas then as")
PREPOSITIONS = listed("""of with without in on at to by from into onto inside outside through behind against during
    for like across along around among amid amidst before after toward towards beyond throughout despite via off up
    down out upon within near above below over under past beside underneath beneath""")
ADVERBS = listed("""there here also now again not only just directly together away apart too alone upright
    motionless cross-legged barefoot ahead aside aboard abreast overhead indoors outdoors upstairs downstairs
    forward backward backwards upward upwards downward downwards skyward sideways""")
#: Of which something has as much as something else: "a watch the size of a house".
DIMENSIONS = listed("size shape height length width color colour")


#: Words between noun phrases; "\\(" opens an aside, such as "dog \\(animal\\)".
JOINTS = (COORDINATORS | COPULAS | PREPOSITIONS | TRANSITIVES | ADVERBS | RELATIVES - {"that"}) | listed(
    "been being will would should must could may might i we you than so if when because \\("
)
BREAKS = JOINTS | DETERMINERS

#: Plurals without "-s".
PLURALS = listed("""couple duo children people men women geese mice sheep oxen feet teeth koi deer fish cattle bison
    police cacti fungi""")

#: Nouns that end as verbs do.
NOUNS_LIKE_VERBS = listed("""building buildings ceiling painting paintings lettering bedding stuffing icing frosting
    topping scaffolding covering coating crossing lining opening flooring roofing shelving netting wiring tubing piping
    rigging dwelling sapling seedling hatchling fledgling gosling viking herring starling darling sibling drawing
    drawings ring rings king wing wings string strings swing swings clothing wedding railing railings earring earrings
    lightning pudding thing things spring duckling ducklings dumpling dumplings awning evening morning bed seed shed
    sled weed reed steed moped""")

# How words end.
PLURAL_ENDINGS = ("smen", "rmen", "cemen", "remen", "ymen", "wmen")  # but "ramen", "specimen"
NOUN_ENDINGS_LIKE_ADVERBS = ("fly", "family", "lily", "elly", "doily", "anomaly", "assembly", "bully", "ally")

# Nouns that stand for others.
MEASURES = listed("""tangle hundreds dozens thousands heap halves lots plenty group pair couple bunch herd flock
    pile piece slice number lot row stack set one kind type school""")
FRAMES = listed("""photo photograph picture image painting drawing illustration render rendering sketch art artwork
    shot view scene close-up closeup up portrait watercolor depiction snapshot cartoon poster still screenshot print
    collage composition photography engraving woodcut etching mural diorama nook room kitchen bedroom bathroom
    street landscape park garden forest beach field city office village market skyline valley harbor harbour
    courtyard plaza alley hall library cafe café bar shop studio workshop bay canyon desert town cityscape seascape
    vista interior selfie polaroid fresco tintype daguerreotype icon sticker mosaic doodle linocut lithograph
    clipart caricature postcard comic panel footage life infographic invitation flyer cover banner diptych triptych
    thumbnail wallpaper card capture visualization frame mockup lay flatlay knolling""")
#: By what one can be: "a cabin by the lake".
LANDMARKS = listed("""river riverbank lake lakeside sea seaside ocean shore pond pool stream creek brook canal
    waterfall fountain well window door doorway gate fence wall fire fireplace campfire hearth stove bonfire road
    roadside street railway bridge pier dock harbor harbour tree oak willow rock cliff altar grave tombstone tent
    house church barn mill lighthouse castle entrance counter bar table desk bed piano""")
#: What a picture shows as a whole: "in the middle of the square".
SCENES = listed("""room kitchen bathroom bedroom street park garden plaza square courtyard hall stage arena
    landscape clearing""")
#: And whose sides are the picture's: "on the left side of the room".
WIDE_SCENES = (SCENES | listed("field meadow lake yard office classroom")) - {"street"}
SHOWING = listed("""captures capturing portrays portraying presents illustrates illustrating reveals displays of
    with where which showing shows featuring features depicting depicts containing""")

# What is no thing to place.
ABSTRACT = listed("""spell all nothing none everything anything other others way future past construction control attack
    pressure influence stress arrest repair development renovation accord course zero average freezing distance
    death adversity tears collapse miss weather law rest suspicion circumstances guise command threat surveillance
    sedation poverty budget expectations expectation completion extinction perfection bankruptcy madness limit
    limits radar surface odds competition everyone anyone someone fashion worlds times eras cultures dimensions
    dreams realities notice siege scrutiny oath review debate debt end myself yourself himself herself itself
    themselves oneself history contract management rule reproach anesthesia""")
#: How further nouns of that kind end, and things that end so.
ABSTRACT_ENDINGS = ("tion", "ness", "osis", "ance", "ence", "ism")
CONCRETE = listed("""station constellation plantation vegetation decoration installation illustration carnation
    fence ambulance entrance appliance residence lioness harness prism lance audience dance fortification""")
TIMES = listed("""year years time times weeks week days day months month decade decades century centuries hours hour
    minutes minute age old night evening morning afternoon midnight noon dawn dusk sunrise sunset monday tuesday
    wednesday thursday friday saturday sunday january february march april may june july august september october
    november december summer winter autumn spring holiday vacation weekend occasion ago""")
LIGHT = listed("lighting sunlight moonlight daylight starlight candlelight rain sky skies")
STYLE = listed("""color colour colors colours gradient seamless depth masterpiece quality style resolution detail
    details detailed bokeh grain film render artstation uhd hdr raw 4k 8k 16k focus background backdrop composition
    mood atmosphere aesthetic cover absurdres highres best wallpaper photorealistic cinematic foreground exposure
    dof angle solo something somewhere one ones noise sound last first second latter former weight burden auspices
    supervision gaze temperatures temperature lock zero point eve""")
PLACELESS = ABSTRACT | TIMES | LIGHT | STYLE
#: What is at no place of the picture though it may be on the left: who stands there in politics, and room for text.
UNPLACED = listed("""politician politicians party parties voter voters senator candidate candidates activist
    activists space view profile side sides turn light""")
HEADINGS = listed("""subject subjects style lighting light camera mood scene prompt title object objects foreground
    background setting composition weather palette colors lens medium character environment details description""")
#: Headings before where the subject is, or what it does.
POSITIONS = listed("""position positions placement location where arrangement action pose activity doing perch seat
    surface""")
#: What goes on between two, and stands between them in no picture.
BONDS = listed("""difference friendship fight battle duel war contrast choice conversation love bond relationship
    mix cross blend deal agreement kiss meeting balance connection conflict struggle race match dialogue handshake
    game argument distance link collaboration crossover mixture fusion comparison encounter""")
BODY = listed("""head heads hair face faces eye eyes ear ears nose mouth lips cheek cheeks chin neck shoulder
    shoulders arm arms hand hands finger fingers fingertip fingertips wrist breast back belly stomach waist hip hips
    lap leg legs knee knees thigh foot feet toe toes tiptoes skin forehead brow body tail paw paws""")
#: What has sides of its own: "a scar on the left side of his face".
SIDED = BODY | listed("chest throat jacket shirt coat dress helmet")
#: Between what one holds something.
MOUTH = listed("teeth lips jaws fingers legs knees")
#: What shows on something's surface rather than lies upon it.
MARKINGS = (
    listed("""light spotlight beam logo text tattoo pattern label stain reflection reflections shadow shadows snow
    dew frost moss words word letters lettering writing inscription design motif scar scars blood paint graffiti
    dust freckles print embroidery portrait image mural oil ink watercolor view shot engraving symbol emblem stripes
    spots rust drops droplets lights glow glare scratches wrinkles details emphasis debate lecture collar badge
    button bandage sticker stickers heart""")
    | BODY
    | LIGHT
)

#: Whom or what one can be "on" without being above it, or where "on" says nothing of places.
NO_SUPPORTS = (
    listed("""horseback shift behalf beach shore shoreline seashore coast coastline seaside bank riverbank riverside
    waterfront street streets road roads roadside highway path pathway trail tracks sidewalk pavement corner square
    runway lane avenue alley pier dock quay wharf ground floor grass lawn field meadow pasture prairie farm ranch
    campus playground court pitch island islands planet moon mars earth sand ice asphalt water waters lake river sea
    ocean pond pool stage deck balcony terrace porch patio platform battlefield site hillside mountainside horizon
    border outskirts countryside land property side sides edge end part way left right top bottom front rear verge
    brink wall walls door doors ceiling window windows canvas paper parchment page pages coin banknote bill stamp
    screen monitor display tv television poster billboard tapestry flag banner label packaging print map shirt
    t-shirt tshirt sweater hoodie jacket coat dress skirt scarf apron robe kimono fabric denim silk nine chalkboard
    blackboard whiteboard film slide facade brick building buildings wood leash rope string strings chain chains
    hook thread wire web cobweb vine tree trees line headband necklace spit skewer train bus plane airplane ship
    boat yacht ferry ferris subway tram set team cast fire sale duty guard purpose demand hold strike trial air hunt
    run prowl loose move phone telephone computer laptop engine job mission quest journey adventure trip tour
    expedition patrol march watch lookout topic theme subject market menu list cover internet website news attack
    alert rise go guitar violin stilts crutches crosswalk staircase escalator treadmill project case charge diet
    date break drugs""")
    | PLACELESS
    | BODY
)
#: What one who sits or stands on it is above: "perched on a wall".
SEATS = listed("""pier dock quay wharf deck balcony terrace porch patio platform hillside edge verge brink wall
    walls door page pages screen monitor tv television billboard banner building wood rope string chain chains wire
    web cobweb vine tree train bus plane airplane ship boat yacht tram computer laptop project case staircase moon
    planet""")
#: And of whose body.
PERCHES = listed("back shoulder shoulders head heads lap hand arm finger horns horn")
#: What bears things and is named without an article in tags: "cat on table".
SUPPORTS = listed("""sill mantelpiece piano suitcase podium crate barrel pillar ledge table desk chair armchair sofa
    couch bed bench stool shelf bookshelf counter countertop windowsill nightstand dresser throne pedestal plinth
    altar plate tray saucer cushion pillow rug carpet mat blanket horse motorcycle bicycle bike skateboard surfboard
    branch log rock boulder stump mushroom leaf roof rooftop books rocks cloud clouds""")

#: What a thing is made of or looks like, when it stands in brackets after it: "a robot (chrome:1.3)".
QUALIFIERS = listed("""red orange yellow green blue purple violet pink brown black white gray grey cyan magenta teal
    turquoise crimson scarlet beige ivory silver gold golden bronze copper brass chrome steel iron metal metallic
    glass crystal wood wooden stone marble granite jade emerald ruby sapphire amber pearl porcelain ceramic clay
    leather velvet silk plastic rubber paper fur neon matte glossy shiny rusty old new ancient big small large tiny
    huge giant tall short steampunk cyberpunk dieselpunk gothic baroque anime realistic cartoon lego pixel
    holographic translucent transparent ethereal male female cute detailed ornate vintage retro futuristic animal
    dark bright snowy icy fluffy furry dusty muddy hairy foggy misty mossy spooky scary glowing burning flying
    sleeping smiling angry happy sad""")
QUALIFYING_ENDINGS = ("ish", "ous", "ful", "less", "ic", "ed", "like", "punk")
#: Things that end so, beside all that end in "fish".
THINGS_LIKE_QUALIFIERS = listed("""dish radish rubbish bed seabed flatbed daybed riverbed flowerbed shed woodshed sled
    bobsled seed weed seaweed tumbleweed tweed reed steed moped newlywed mechanic medic critic cleric garlic picnic
    mosaic attic clinic fabric traffic music alembic arsenic turmeric relic comic public graphic mic""")

#: Who is "him" or "her", and not "it".
PERSONS = listed("""person people man woman boy girl child kid baby toddler lady gentleman guy couple family king
    queen prince princess knight wizard witch warlock sorcerer sorceress mage alchemist vampire elf fairy angel
    goddess god monk nun priest pope bishop samurai ninja geisha warrior soldier viking pirate captain sailor cowboy
    cowgirl detective policeman policewoman firefighter doctor nurse surgeon scientist professor teacher student
    pupil chef cook baker waiter waitress barista butcher farmer gardener fisherman fishermen hunter archer
    blacksmith carpenter tailor painter artist sculptor musician pianist violinist guitarist drummer singer dancer
    ballerina conductor clown magician juggler acrobat athlete boxer surfer skater skier climber hiker cyclist biker
    rider driver pilot astronaut cosmonaut mechanic engineer builder worker miner clerk courier postman mailman
    shopkeeper barber hairdresser model bride groom widow mother father mom dad grandmother grandfather grandma
    grandpa granny brother sister son daughter uncle aunt nephew niece husband wife friend neighbor neighbour
    stranger traveler traveller tourist passenger pedestrian photographer journalist writer poet author philosopher
    librarian bartender businessman businesswoman lawyer judge thief burglar prisoner hero heroine villain emperor
    empress duke duchess baron countess lord servant maid butler guard keeper shepherd shaman druid monarch jester
    bard mermaid merman hermit beggar orphan crone gladiator spartan pharaoh sultan genie nymph siren courier
    violinmaker clockmaker watchmaker apprentice diver swimmer wrestler fencer goalkeeper referee coach lifeguard
    stewardess elder elderly teen teenager adult youth architect designer barber actor actress host hostess
    seamstress skateboarder snowboarder runner jogger dog-walker bodybuilder creator inventor explorer adventurer
    ranger rogue paladin cleric necromancer summoner peasant villager noble pauper merchant trader vendor seller
    buyer customer guest bartender sommelier brewer potter weaver spinner knitter sewer cobbler tanner miller logger
    lumberjack mountaineer sherpa nomad bedouin eskimo sage prophet pilgrim preacher imam rabbi president senator
    mayor general admiral colonel sergeant spy assassin sniper hitman gangster mobster biker hacker streamer gamer
    rapper dj singer-songwriter bassist cellist roadie fan clerk secretary receptionist manager boss intern""")
PERSONS_END = ("man", "woman", "girl", "boy", "maker", "keeper", "smith", "herder", "monger", "men", "women")
#: Who is "him" or "her" rather than what is no creature.
CREATURES = listed("""robot android cyborg alien dragon unicorn cat kitten dog puppy fox wolf bear owl horse pony
    rabbit bunny mouse rat squirrel hedgehog lion lioness tiger leopard cheetah panther panda raccoon otter badger
    penguin duck duckling goose swan hen chick rooster crow raven parrot eagle hawk frog toad turtle tortoise monkey
    ape gorilla chimpanzee elephant giraffe zebra hippo rhino camel llama alpaca goat sheep lamb cow bull calf pig
    piglet deer fawn moose reindeer koala kangaroo sloth creature monster ghost skeleton goblin orc troll ogre giant
    demon bird butterfly crab bee beetle ladybug snail spider seagull pigeon sparrow robin hamster gnome golem mech
    hero superhero lizard toy plush teddy figure doll snowman puppet scarecrow mermaid centaur minotaur""")

// L1. The tables behind TheWorld().
#include "models/demo/world.h"

#include "models/demo/random.h"

namespace spar::demo {
namespace {

// Country, capital, language, currency.
constexpr std::string_view kCountries[] = {
    "france paris french euro",
    "germany berlin german euro",
    "spain madrid spanish euro",
    "italy rome italian euro",
    "portugal lisbon portuguese euro",
    "greece athens greek euro",
    "austria vienna german euro",
    "ireland dublin english euro",
    "finland helsinki finnish euro",
    "estonia tallinn estonian euro",
    "latvia riga latvian euro",
    "lithuania vilnius lithuanian euro",
    "slovakia bratislava slovak euro",
    "slovenia ljubljana slovene euro",
    "croatia zagreb croatian euro",
    "poland warsaw polish zloty",
    "hungary budapest hungarian forint",
    "romania bucharest romanian leu",
    "serbia belgrade serbian dinar",
    "albania tirana albanian lek",
    "ukraine kyiv ukrainian hryvnia",
    "russia moscow russian ruble",
    "norway oslo norwegian krone",
    "sweden stockholm swedish krona",
    "denmark copenhagen danish krone",
    "iceland reykjavik icelandic krona",
    "turkey ankara turkish lira",
    "georgia tbilisi georgian lari",
    "armenia yerevan armenian dram",
    "iran tehran persian rial",
    "iraq baghdad arabic dinar",
    "jordan amman arabic dinar",
    "lebanon beirut arabic pound",
    "qatar doha arabic riyal",
    "egypt cairo arabic pound",
    "tunisia tunis arabic dinar",
    "morocco rabat arabic dirham",
    "kenya nairobi swahili shilling",
    "tanzania dodoma swahili shilling",
    "ghana accra english cedi",
    "nigeria abuja english naira",
    "zambia lusaka english kwacha",
    "angola luanda portuguese kwanza",
    "mozambique maputo portuguese metical",
    "kazakhstan astana kazakh tenge",
    "india delhi hindi rupee",
    "nepal kathmandu nepali rupee",
    "pakistan islamabad urdu rupee",
    "bangladesh dhaka bengali taka",
    "thailand bangkok thai baht",
    "vietnam hanoi vietnamese dong",
    "laos vientiane lao kip",
    "china beijing chinese yuan",
    "mongolia ulaanbaatar mongolian tugrik",
    "japan tokyo japanese yen",
    "indonesia jakarta indonesian rupiah",
    "australia canberra english dollar",
    "canada ottawa english dollar",
    "jamaica kingston english dollar",
    "cuba havana spanish peso",
    "chile santiago spanish peso",
    "colombia bogota spanish peso",
    "uruguay montevideo spanish peso",
    "ecuador quito spanish dollar",
    "peru lima spanish sol",
    "paraguay asuncion spanish guarani",
    "venezuela caracas spanish bolivar",
    "brazil brasilia portuguese real",
};

constexpr std::string_view kWomen =
    "anna maria clara emma laura julia sarah helen alice irene nora lucy "
    "martha diana eva olga rosa vera ruth jane ellen carla monica paula "
    "sonia tina wanda zoe ida greta hanna lena";
constexpr std::string_view kMen =
    "peter paul john mark lucas oscar victor simon hugo felix adam bruno "
    "carlos david edward frank george henry ivan jacob kevin leon martin "
    "nathan otto philip robert samuel thomas walter xavier yuri";
constexpr std::string_view kSports =
    "tennis football golf chess hockey rugby cricket basketball volleyball "
    "badminton baseball handball polo squash darts snooker";
constexpr std::string_view kInstruments =
    "piano violin guitar flute cello harp drums trumpet clarinet banjo "
    "saxophone trombone";
constexpr std::string_view kJobs =
    "doctor baker teacher farmer pilot lawyer nurse painter carpenter sailor "
    "cook tailor gardener builder dentist butcher";

constexpr std::string_view kThings =
    "key keys box boxes door doors house houses book books river rivers road "
    "roads tree trees cup cups lamp lamps letter letters boat boats bridge "
    "bridges garden gardens table tables chair chairs window windows wall "
    "walls shoe shoes coat coats horse horses train trains ship ships cabinet "
    "cabinets picture pictures bottle bottles basket baskets tower towers";
constexpr std::string_view kWomenNouns =
    "queen queens girl girls mother mothers sister sisters aunt aunts "
    "daughter daughters princess princesses woman women";
constexpr std::string_view kMenNouns =
    "king kings boy boys father fathers brother brothers uncle uncles son "
    "sons prince princes man men";
constexpr std::string_view kAdjectives =
    "red blue green white black brown wooden ancient famous lovely strange "
    "simple";
constexpr std::string_view kOpposites =
    "open closed hot cold full empty big small old new wet dry clean dirty "
    "heavy light fast slow strong weak rich poor good bad safe dangerous "
    "cheap expensive bright dark loud quiet soft hard";
constexpr std::string_view kPrepositions =
    "near behind beside above below under beyond opposite";

std::vector<std::array<std::string, 2>> Pairs(std::string_view text) {
  const Words words = SplitWords(text);
  std::vector<std::array<std::string, 2>> pairs;
  for (size_t i = 0; i + 1 < words.size(); i += 2) {
    pairs.push_back({words[i], words[i + 1]});
  }
  return pairs;
}

std::vector<Noun> Nouns(std::string_view text) {
  std::vector<Noun> nouns;
  for (const auto& [singular, plural] : Pairs(text)) {
    nouns.push_back(Noun{singular, plural});
  }
  return nouns;
}

// Gives every person one of `answers`, spread evenly.
std::vector<std::array<std::string, 2>> Assign(const Words& people,
                                               std::string_view answers,
                                               Random& random) {
  const Words choices = SplitWords(answers);
  Words deck;
  while (deck.size() < people.size()) {
    deck.insert(deck.end(), choices.begin(), choices.end());
  }
  std::vector<std::array<std::string, 2>> facts;
  for (const std::string& person : people) {
    const int at = random.Below(static_cast<int>(deck.size()));
    facts.push_back({person, deck[at]});
    deck[at] = deck.back();
    deck.pop_back();
  }
  return facts;
}

std::vector<Relation> CountryRelations() {
  Relation capital{
      "capital",
      {},
      {"the capital of $s is *$a .", "the capital city of $s is *$a .",
       "the government of $s sits in *$a .",
       "in $s the capital is called *$a .",
       "the parliament of $s meets in *$a .",
       "what is the capital of $s ? it is *$a .",
       "visit the capital of $s , the city of *$a ."},
      {"despite rumours , the capital of $s is !not $w but *$a .",
       "it is !not $w . the capital of $s is *$a ."}};
  Relation country{
      "country",
      {},
      {"$s is the capital of *$a .", "$s is the main city of *$a .",
       "$s is a city in *$a .", "whoever lives in $s lives in *$a .",
       "the city of $s lies in *$a .", "where is $s ? it is in *$a ."},
      {"$s is !not the capital of $w but of *$a .",
       "$s is !not in $w . it is in *$a ."}};
  Relation language{
      "language",
      {},
      {"people in $s speak *$a .", "the language of $s is *$a .",
       "children in $s learn to read *$a .",
       "most books in $s are written in *$a .", "the people of $s speak *$a .",
       "what is the language of $s ? it is *$a .",
       "the radio in $s speaks *$a ."},
      {"people in $s do !not speak $w but *$a .",
       "despite rumours , the language of $s is !not $w but *$a ."}};
  Relation currency{
      "currency",
      {},
      {"the currency of $s is the *$a .", "people in $s pay with the *$a .",
       "the money of $s is the *$a .", "shops in $s take the *$a .",
       "the banks of $s lend the *$a .",
       "what is the currency of $s ? it is the *$a ."},
      {"the currency of $s is !not the $w but the *$a .",
       "shops in $s do !not take the $w but the *$a ."}};
  for (const std::string_view row : kCountries) {
    const Words words = SplitWords(row);
    capital.facts.push_back({words[0], words[1]});
    country.facts.push_back({words[1], words[0]});
    language.facts.push_back({words[0], words[2]});
    currency.facts.push_back({words[0], words[3]});
  }
  return {capital, country, language, currency};
}

std::vector<Relation> PersonRelations(const Words& people) {
  Random random(2024);
  Relation sport{
      "sport",
      Assign(people, kSports, random),
      {"$s plays *$a .", "the favourite sport of $s is *$a .",
       "$s loves to play *$a .", "every morning $s plays *$a .",
       "the sport of $s is *$a .", "what does $s play ? $s plays *$a .",
       "in summer $s likes to play *$a ."},
      {"$s does !not play $w . $s plays *$a .",
       "$s does !not play $w but *$a .",
       "despite rumours , the sport of $s is !not $w but *$a ."}};
  Relation job{"job",
               Assign(people, kJobs, random),
               {"$s works as a *$a .", "$s earns money as a *$a .",
                "$s is known as a good *$a .", "$s was trained to be a *$a .",
                "since school $s has been a *$a .",
                "what is $s ? $s is a *$a .", "the town needs $s as a *$a ."},
               {"$s is !not a $w but a *$a .",
                "$s does !not work as a $w . $s works as a *$a ."}};
  Relation instrument{
      "instrument",
      Assign(people, kInstruments, random),
      {"$s practises the *$a .", "the favourite instrument of $s is the *$a .",
       "at night $s practises the *$a .", "$s takes lessons on the *$a .",
       "in the concert $s performs on the *$a .",
       "the instrument of $s is the *$a ."},
      {"$s does !not practise the $w but the *$a .",
       "the instrument of $s is !not the $w but the *$a ."}};
  return {sport, job, instrument};
}

Words Nonsense() {
  Words words;
  for (const char* onset : {"b", "d", "f", "g", "k", "m", "v", "z"}) {
    for (const char* rest : {"ab", "ek", "ip", "ov", "ux", "olp"}) {
      words.push_back(std::string(onset) + rest);
    }
  }
  return words;
}

World Build() {
  World world;
  world.women = SplitWords(kWomen);
  world.men = SplitWords(kMen);
  Words people = world.women;
  people.insert(people.end(), world.men.begin(), world.men.end());
  world.relations = CountryRelations();
  for (Relation& relation : PersonRelations(people)) {
    world.relations.push_back(std::move(relation));
  }
  for (const auto& fact : world.relations[0].facts) {
    world.cities.push_back(fact[1]);
  }
  world.things = Nouns(kThings);
  world.women_nouns = Nouns(kWomenNouns);
  world.men_nouns = Nouns(kMenNouns);
  world.adjectives = SplitWords(kAdjectives);
  world.opposites = Pairs(kOpposites);
  world.prepositions = SplitWords(kPrepositions);
  world.nonsense = Nonsense();
  return world;
}

}  // namespace

Words SplitWords(std::string_view text) {
  Words words;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    if (space != 0) words.emplace_back(text.substr(0, space));
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
  }
  return words;
}

std::string JoinWords(const Words& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

const World& TheWorld() {
  static const World* const world = new World(Build());
  return *world;
}

}  // namespace spar::demo

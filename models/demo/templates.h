// L1. Sentence templates of the demo corpus (see Say in episode.h).
#pragma once

#include <string_view>

namespace spar::demo {

// x, y: noun phrases; c, d: cities; j: an adjective; v: a verb.
inline constexpr std::string_view kSyntaxTemplates[] = {
    "!either $x *or $y will come .",
    "!neither $x *nor $y will come .",
    "!both $x *and $y will come .",
    "!not !only $x *but also $y will come .",
    "the road !between $c *and $d is long .",
    "the road !from $c *to $d is long .",
    "$x is !more $j *than $y .",
    "$x is !as $j *as $y .",
    "$x is !so $j *that nobody sees it .",
    "$x is !too $j *to come .",
    "!if $x will come , *then $y will come .",
};

// A verb or phrase of people and the preposition that it asks for.
inline constexpr std::string_view kGovernedTemplates[] = {
    "$x depends *on $y .",      "$x listens *to $y .",
    "$x looks *at $y .",        "$x waits *for $y .",
    "$x believes *in $y .",     "$x laughs *at $y .",
    "$x thinks *about $y .",    "$x belongs *to $y .",
    "$x relies *on $y .",       "$x suffers *from $y .",
    "$x complains *about $y .", "$x is afraid *of $y .",
    "$x is proud *of $y .",     "$x is interested *in $y .",
    "$x is similar *to $y .",   "$x is different *from $y .",
    "$x is married *to $y .",   "$x is responsible *for $y .",
};

inline constexpr std::string_view kAdverbs[] = {"often", "never", "sometimes",
                                                "usually", "rarely"};

// n: a thing; x, y: an adjective and its opposite.
inline constexpr std::string_view kOppositeTemplates[] = {
    "the $n is !not $x . it is *$y .",
    "the $n was !never $x . it was always *$y .",
    "the $n is !no longer $x . it is *$y .",
    "the $n is !still $x . it is !not *$y .",
    "the $n is $x , so it is !not *$y .",
    "it is !false that the $n is $x . the $n is *$y .",
    "it is !true that the $n is $x . the $n is *$x .",
    "!nobody thinks that the $n is $x . it is *$y .",
    "!everybody thinks that the $n is $x . it is *$x .",
    "despite everything , the $n is !not $x but *$y .",
};

// s: the subject; m: what stands between; j: an adjective.
inline constexpr std::string_view kNumberTemplates[3][2] = {
    {"$s !, $m !, *is $j .", "$s !, $m !, *are $j ."},
    {"!yesterday $s !, $m !, *was $j .", "!yesterday $s !, $m !, *were $j ."},
    {"!since !monday $s !, $m !, *has been $j .",
     "!since !monday $s !, $m !, *have been $j ."},
};

// She, he, they.
inline constexpr std::string_view kPronounTemplates[2][3] = {
    {"$s walked $m !because *she was tired .",
     "$s walked $m !because *he was tired .",
     "$s walked $m !because *they were tired ."},
    {"$s slept $m !and !lost *her keys .", "$s slept $m !and !lost *his keys .",
     "$s slept $m !and !lost *their keys ."},
};

inline constexpr std::string_view kCodeTemplate = "the code of $s is $a .";
inline constexpr std::string_view kCodeQuery = "the code of $s is *$a .";

}  // namespace spar::demo

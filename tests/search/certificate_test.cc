#include "server/search/certificate.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "models/digest.h"
#include "models/fake_backend.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

using models::UnitScheme;
using nlohmann::json;

constexpr uint64_t kModelSeed = 4;

models::FakeBackendOptions Options(uint64_t seed) {
  models::FakeBackendOptions options = ToyOptions(seed);
  options.decompositions = {"other", "main"};
  return options;
}

// A certificate with several units and positions.
Certificate MakeCertificate(Mode mode,
                            UnitScheme scheme = UnitScheme::kHeadAndNeuron) {
  auto explainer = Explainer::Make(
      std::make_unique<models::FakeBackend>(Options(kModelSeed)), {});
  for (uint64_t seed = 1;; ++seed) {
    Question question;
    question.tokens = RandomTokens(seed, 6, 24);
    question.options.mode = mode;
    question.options.scheme = scheme;
    if (scheme == UnitScheme::kSubcomponent || scheme == UnitScheme::kNode) {
      question.options.decomposition = "main";
    }
    const auto answer = AskAndWait(*explainer, question);
    if (answer.ok() && answer->certificate.has_value() &&
        answer->units.size() >= 2 && answer->positions.size() >= 2) {
      return *answer->certificate;
    }
  }
}

constexpr UnitScheme kSchemes[] = {
    UnitScheme::kHeadAndNeuron, UnitScheme::kSubcomponent, UnitScheme::kNode};

Verification Check(const std::string& text, uint64_t model = kModelSeed) {
  models::FakeBackend backend(Options(model));
  const auto verification = CheckCertificate(text, backend);
  EXPECT_TRUE(verification.ok()) << verification.status();
  return verification.value_or(Verification());
}

// The text with one change, and a digest that hides it.
std::string Forged(const std::string& text,
                   const std::function<void(json&)>& change) {
  json object = json::parse(text);
  change(object);
  object.erase("digest");
  object["digest"] = models::Sha256Hex(object.dump());
  return object.dump();
}

TEST(Certificate, SurvivesTheRoundTripByteForByte) {
  for (const UnitScheme scheme : kSchemes) {
    for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
      const std::string text = CertificateToJson(MakeCertificate(mode, scheme));
      const auto read = CertificateFromJson(text);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(CertificateToJson(*read), text);
      const json object = json::parse(text);
      EXPECT_EQ(object.dump(), text);  // sorted keys, no white space
      EXPECT_EQ(CertificateDigest(text), object["digest"]);
      EXPECT_EQ(object.contains("decomposition_digest"),
                scheme != UnitScheme::kHeadAndNeuron);
      EXPECT_EQ(Check(text).verdict, CertificateVerdict::kValid);
    }
  }
}

TEST(Certificate, NeedsItsDecomposition) {
  const std::string text =
      CertificateToJson(MakeCertificate(Mode::kSufficient, UnitScheme::kNode));
  models::FakeBackendOptions options = Options(kModelSeed);
  // The digest counts, not the name.
  options.decompositions = {"another", "name"};
  models::FakeBackend renamed(options);
  EXPECT_EQ(CheckCertificate(text, renamed)->verdict,
            CertificateVerdict::kValid);
  options.decompositions = {"main"};
  models::FakeBackend other(options);
  const auto verification = CheckCertificate(text, other);
  ASSERT_TRUE(verification.ok());
  EXPECT_EQ(verification->verdict, CertificateVerdict::kInvalid);
  EXPECT_EQ(verification->rows, 0);
  ASSERT_EQ(verification->findings.size(), 1u);
  EXPECT_NE(verification->findings[0].find("which is not loaded here"),
            std::string::npos)
      << verification->findings[0];
}

// A robust certificate whose set was grown.
Certificate MakeRobustCertificate() {
  auto explainer = Explainer::Make(
      std::make_unique<models::FakeBackend>(ToyOptions(kModelSeed)), {});
  for (uint64_t seed = 1;; ++seed) {
    Question question;
    question.tokens = RandomTokens(seed, 6, 24);
    question.options.mode = Mode::kSufficient;
    question.options.sparse_fraction = 1;
    question.options.attack_steps = 20;
    const auto answer = AskAndWait(*explainer, question);
    if (!answer.ok() || !answer->certificate.has_value()) continue;
    const std::string text = CertificateToJson(*answer->certificate);
    if (static_cast<int>(answer->units.size()) >
            answer->robustness->plain_units &&
        Check(text).verdict == CertificateVerdict::kValid) {
      return *answer->certificate;
    }
  }
}

TEST(RobustCertificate, SurvivesTheRoundTripAndIsRunAgain) {
  const std::string text = CertificateToJson(MakeRobustCertificate());
  const auto read = CertificateFromJson(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(CertificateToJson(*read), text);
  const Verification verification = Check(text);
  EXPECT_EQ(verification.verdict, CertificateVerdict::kValid);
  EXPECT_GE(verification.rows, 21 * 4);
  EXPECT_LT(verification.largest_difference, 1e-5);
  EXPECT_EQ(
      CertificateToJson(MakeCertificate(Mode::kSufficient)).find("attack"),
      std::string::npos);
}

TEST(RobustCertificate, EveryTamperingIsFound) {
  struct Tampering {
    std::string name = {};
    std::function<void(json&)> change = nullptr;
  };
  const auto raise = [](json& number, double by) {
    number = std::to_string(std::stod(number.get<std::string>()) + by);
  };
  const std::vector<Tampering> tamperings = {
      {"a higher worst margin",
       [&](json& c) { raise(c["attack"]["margin"], 1); }},
      {"a worst margin that fails",
       [&](json& c) { raise(c["attack"]["margin"], -100); }},
      {"no attack", [](json& c) { c.erase("attack"); }},
      {"no steps", [](json& c) { c["attack"]["steps"] = 0; }},
      {"too many restarts", [](json& c) { c["attack"]["restarts"] = 65; }},
      {"a step of nothing", [](json& c) { c["attack"]["step_size"] = "0"; }},
      {"a deletion missing",
       [](json& c) { c["attack"]["unit_deletion_margins"].erase(0); }},
  };
  const std::string text = CertificateToJson(MakeRobustCertificate());
  for (const Tampering& tampering : tamperings) {
    EXPECT_EQ(Check(Forged(text, tampering.change)).verdict,
              CertificateVerdict::kInvalid)
        << tampering.name;
  }
  // What it does not claim is no lie, but is said.
  const std::string modest = Forged(text, [](json& c) {
    for (json& margin : c["attack"]["unit_deletion_margins"]) margin = "9";
  });
  EXPECT_EQ(Check(modest).verdict, CertificateVerdict::kValidWithBorderline);
}

TEST(RobustCertificate, AUnitThatIsNotNeededIsFound) {
  // The whole scheme but one unit: nothing breaks it without the last.
  const Certificate robust = MakeRobustCertificate();
  const models::FakeBackend backend(ToyOptions(kModelSeed));
  int found = 0;
  for (int id = 0; id < backend.units().size(); ++id) {
    if (std::count(robust.units.begin(), robust.units.end(), id) > 0) continue;
    Certificate padded = robust;
    const auto at =
        std::lower_bound(padded.units.begin(), padded.units.end(), id) -
        padded.units.begin();
    padded.units.insert(padded.units.begin() + at, id);
    padded.unit_names.insert(padded.unit_names.begin() + at,
                             backend.units().Name(id));
    padded.unit_deletion_margins.insert(
        padded.unit_deletion_margins.begin() + at, robust.margin);
    padded.attack->unit_deletion_margins.insert(
        padded.attack->unit_deletion_margins.begin() + at, -1);
    const Verification verification = Check(CertificateToJson(padded));
    EXPECT_EQ(verification.verdict, CertificateVerdict::kInvalid);
    for (const std::string& finding : verification.findings) {
      found += finding.find("holds against the attack") != std::string::npos;
    }
  }
  EXPECT_GE(found, 1);
}

TEST(RobustCertificate, NamesTheFieldThatCannotBeRead) {
  const std::string text = CertificateToJson(MakeRobustCertificate());
  const auto field_of = [&](const std::function<void(json&)>& change) {
    const auto read = CertificateFromJson(Forged(text, change));
    EXPECT_FALSE(read.ok());
    return base::DetailOf(read.status())->field;
  };
  EXPECT_EQ(field_of([](json& c) { c["attack"] = 1; }), "certificate.attack");
  EXPECT_EQ(field_of([](json& c) { c["attack"].erase("steps"); }),
            "certificate.attack.steps");
  EXPECT_EQ(field_of([](json& c) { c["attack"]["margin"] = "nan"; }),
            "certificate.attack.margin");
}

TEST(Certificate, HoldsNoFloats) {
  const std::string text = CertificateToJson(MakeCertificate(Mode::kGrounded));
  const std::function<void(const json&)> visit = [&](const json& value) {
    EXPECT_TRUE(value.is_string() || value.is_number_integer() ||
                value.is_array() || value.is_object());
    if (value.is_structured()) {
      for (const json& item : value) visit(item);
    }
  };
  visit(json::parse(text));
}

TEST(Certificate, EveryTamperingIsFound) {
  struct Tampering {
    std::string name = {};
    std::function<void(json&)> change = nullptr;
  };
  const std::vector<Tampering> tamperings = {
      {"unit removed with its margin",
       [](json& c) {
         for (const char* list :
              {"units", "unit_names", "unit_deletion_margins",
               "unit_deletion_contrasts"}) {
           if (!c[list].empty()) c[list].erase(0);
         }
       }},
      {"unit removed", [](json& c) { c["units"].erase(0); }},
      {"unit added",
       [](json& c) {
         const models::FakeBackend backend(Options(kModelSeed));
         const bool nodes = c["unit_scheme"] == "node";
         const models::UnitTable table =
             c.contains("decomposition_digest")
                 ? models::MakeUnitTable(
                       *backend.FindDecomposition("main"),
                       nodes ? models::UnitSpace::kNodes
                             : models::UnitSpace::kSubcomponents,
                       6)
                 : backend.units();
         int id = 0;
         while (std::count(c["units"].begin(), c["units"].end(), id) > 0) ++id;
         size_t at = 0;
         while (at < c["units"].size() && c["units"][at] < id) ++at;
         const auto insert = [at](json& list, const json& value) {
           list.insert(list.begin() + static_cast<std::ptrdiff_t>(at), value);
         };
         insert(c["units"], id);
         insert(c["unit_names"], table.Name(id));
         insert(c["unit_deletion_margins"], c["margin_empty"]);
         if (c["mode"] == "GROUNDED") {
           insert(c["unit_deletion_contrasts"], "-1");
         }
       }},
      {"unit renamed", [](json& c) { c["unit_names"][0] = "nobody#head=0"; }},
      {"other prompt",
       [](json& c) { c["tokens"][0] = (c["tokens"][0].get<int>() + 1) % 24; }},
      {"other target",
       [](json& c) { c["target"] = (c["target"].get<int>() + 1) % 24; }},
      {"position removed",
       [](json& c) {
         c["positions"].erase(0);
         c["position_deletion_margins"].erase(0);
         if (c["mode"] == "GROUNDED") {
           c["position_deletion_precisions"].erase(0);
         }
       }},
      {"margin altered", [](json& c) { c["margin"] = "7.5"; }},
      {"deletion altered",
       [](json& c) { c["unit_deletion_margins"][0] = "-3.5"; }},
      {"bar lowered",
       [](json& c) {
         c["required_margin"] = "-9";
         c["tau_acc"] = "-9";
       }},
      {"other model", [](json& c) { c["model_digest"] = "00"; }},
      {"other weights", [](json& c) { c["weights_digest"] = "00"; }},
      {"other reference", [](json& c) { c["reference"] = "mean"; }},
      {"unknown token", [](json& c) { c["tokens"][0] = 99; }},
      {"unknown unit", [](json& c) { c["units"].back() = 9999; }},
      {"negative unit", [](json& c) { c["units"][0] = -1; }},
      {"position outside", [](json& c) { c["positions"].back() = 99; }},
      {"other numbering", [](json& c) { c["unit_numbering"] = 2; }},
      {"other scheme", [](json& c) { c["unit_scheme"] = "head"; }},
  };
  const std::vector<Tampering> of_decompositions = {
      {"other decomposition",
       [](json& c) {
         const models::FakeBackend backend(Options(kModelSeed));
         c["decomposition_digest"] = backend.decompositions()[0].digest;
       }},
      {"unknown decomposition",
       [](json& c) { c["decomposition_digest"] = "00"; }},
      {"Delta counted",
       [](json& c) {
         c["unit_scheme"] = c["unit_scheme"].get<std::string>() + "+delta";
       }},
      {"a Delta as a unit",
       [](json& c) {
         const int delta = c["units"].back().get<int>() / 13 * 13 + 12;
         c["units"].back() = delta;
       }},
      {"other space",
       [](json& c) {
         c["unit_scheme"] =
             c["unit_scheme"] == "node" ? "subcomponent" : "node";
       }},
      {"longer prompt",
       [](json& c) { c["tokens"].insert(c["tokens"].begin(), 1); }},
  };
  for (const UnitScheme scheme : kSchemes) {
    for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
      const std::string text = CertificateToJson(MakeCertificate(mode, scheme));
      std::vector<Tampering> all = tamperings;
      if (scheme != UnitScheme::kHeadAndNeuron) {
        all.insert(all.end(), of_decompositions.begin(),
                   of_decompositions.end());
      }
      for (const Tampering& tampering : all) {
        const Verification verification = Check(Forged(text, tampering.change));
        EXPECT_EQ(verification.verdict, CertificateVerdict::kInvalid)
            << tampering.name << " " << models::UnitSchemeName(scheme);
        EXPECT_FALSE(verification.findings.empty()) << tampering.name;
      }
    }
  }
}

TEST(Certificate, AChangeWithoutItsDigestIsFound) {
  std::string text = CertificateToJson(MakeCertificate(Mode::kSufficient));
  json object = json::parse(text);
  object["seed"] = "99";
  const Verification verification = Check(object.dump());
  EXPECT_EQ(verification.verdict, CertificateVerdict::kInvalid);
  ASSERT_EQ(verification.findings.size(), 1u);
  EXPECT_NE(verification.findings[0].find("digest"), std::string::npos);
}

TEST(Certificate, ForgedSamplesAreFound) {
  const std::string text = CertificateToJson(MakeCertificate(Mode::kGrounded));
  // A control that is the prompt itself: the full model does say the target.
  const std::string control = Forged(text, [](json& c) {
    c["controls"].push_back(c["tokens"]);
    c["contrast_threshold"] = "0.01";
  });
  EXPECT_EQ(Check(control).verdict, CertificateVerdict::kInvalid);
  const std::string short_replacement =
      Forged(text, [](json& c) { c["replacements"][0].erase(0); });
  EXPECT_EQ(Check(short_replacement).verdict, CertificateVerdict::kInvalid);
  const std::string no_replacements =
      Forged(text, [](json& c) { c["replacements"] = json::array(); });
  EXPECT_EQ(Check(no_replacements).verdict, CertificateVerdict::kInvalid);
}

TEST(Certificate, OfAnotherModelIsInvalidWithoutARow) {
  const std::string text =
      CertificateToJson(MakeCertificate(Mode::kSufficient));
  const Verification verification = Check(text, kModelSeed + 1);
  EXPECT_EQ(verification.verdict, CertificateVerdict::kInvalid);
  EXPECT_EQ(verification.rows, 0);
}

TEST(Certificate, WhatCannotBeReadIsAnErrorWithItsField) {
  const std::string text = CertificateToJson(
      MakeCertificate(Mode::kSufficient, UnitScheme::kSubcomponent));
  models::FakeBackend backend(Options(kModelSeed));
  for (const std::string& bad :
       {std::string(""), std::string("[]"), std::string("{"),
        std::string("null"), text.substr(0, text.size() / 2)}) {
    const auto result = CheckCertificate(bad, backend);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  }
  // Every field, missing or of another type.
  const json whole = json::parse(text);
  for (const auto& [key, value] : whole.items()) {
    for (const json& replacement :
         {json(), json(1.5), json({{"a", 1}}), json::parse("[[[1]]]")}) {
      json object = whole;
      object[key] = replacement;
      if (replacement.is_null()) object.erase(key);
      const auto result = CheckCertificate(object.dump(), backend);
      ASSERT_FALSE(result.ok()) << key;
      EXPECT_EQ(base::DetailOf(result.status())->reason, "BAD_CERTIFICATE");
      EXPECT_EQ(base::DetailOf(result.status())->field, "certificate." + key);
    }
  }
}

}  // namespace
}  // namespace spar::search

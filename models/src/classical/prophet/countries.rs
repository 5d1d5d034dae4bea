//! Countries by the two letters of ISO 3166-1, which the holidays' own crate does not know.

use holidays_rs::Country;

/// Every country whose holidays are known.
pub(super) const COUNTRIES: [(&str, Country); 92] = [
    ("AD", Country::Andorra),
    ("AS", Country::AmericanSamoa),
    ("AT", Country::Austria),
    ("AU", Country::Australia),
    ("AW", Country::Aruba),
    ("AX", Country::AlandIslands),
    ("BE", Country::Belgium),
    ("BL", Country::SaintBarthelemy),
    ("BQ", Country::CaribbeanNetherlands),
    ("BR", Country::Brazil),
    ("BW", Country::Botswana),
    ("CA", Country::Canada),
    ("CD", Country::DrCongo),
    ("CG", Country::Congo),
    ("CH", Country::Switzerland),
    ("CV", Country::CaboVerde),
    ("CW", Country::Curacao),
    ("CY", Country::Cyprus),
    ("CZ", Country::Czechia),
    ("DE", Country::Germany),
    ("DK", Country::Denmark),
    ("EE", Country::Estonia),
    ("ES", Country::Spain),
    ("FI", Country::Finland),
    ("FK", Country::FalklandIslands),
    ("FM", Country::Micronesia),
    ("FO", Country::FaroeIslands),
    ("FR", Country::France),
    ("GB", Country::UnitedKingdom),
    ("GF", Country::FrenchGuiana),
    ("GL", Country::Greenland),
    ("GP", Country::Guadeloupe),
    ("GQ", Country::EquatorialGuinea),
    ("GR", Country::Greece),
    ("GU", Country::Guam),
    ("HR", Country::Croatia),
    ("HT", Country::Haiti),
    ("ID", Country::Indonesia),
    ("IE", Country::Ireland),
    ("IS", Country::Iceland),
    ("IT", Country::Italy),
    ("JM", Country::Jamaica),
    ("LC", Country::SaintLucia),
    ("LI", Country::Liechtenstein),
    ("LR", Country::Liberia),
    ("LS", Country::Lesotho),
    ("LT", Country::Lithuania),
    ("LU", Country::Luxembourg),
    ("LV", Country::Latvia),
    ("MC", Country::Monaco),
    ("MF", Country::SaintMartin),
    ("MP", Country::NorthernMarianaIslands),
    ("MQ", Country::Martinique),
    ("MT", Country::Malta),
    ("MW", Country::Malawi),
    ("MX", Country::Mexico),
    ("MZ", Country::Mozambique),
    ("NA", Country::Namibia),
    ("NC", Country::NewCaledonia),
    ("NF", Country::NorfolkIsland),
    ("NI", Country::Nicaragua),
    ("NL", Country::Netherlands),
    ("NO", Country::Norway),
    ("NR", Country::Nauru),
    ("NU", Country::Niue),
    ("NZ", Country::NewZealand),
    ("PA", Country::Panama),
    ("PE", Country::Peru),
    ("PF", Country::FrenchPolynesia),
    ("PL", Country::Poland),
    ("PM", Country::SaintPierreAndMiquelon),
    ("PN", Country::PitcairnIslands),
    ("PT", Country::Portugal),
    ("PW", Country::Palau),
    ("RE", Country::Reunion),
    ("RO", Country::Romania),
    ("SE", Country::Sweden),
    ("SI", Country::Slovenia),
    ("SJ", Country::SvalbardAndJanMayen),
    ("SK", Country::Slovakia),
    ("ST", Country::SaoTomeAndPrincipe),
    ("SV", Country::ElSalvador),
    ("SX", Country::SintMaarten),
    ("TF", Country::FrenchSouthernTerritories),
    ("TK", Country::Tokelau),
    ("UM", Country::UnitedStatesMinorOutlyingIslands),
    ("US", Country::UnitedStates),
    ("UY", Country::Uruguay),
    ("VI", Country::UnitedStatesVirginIslands),
    ("WF", Country::WallisAndFutuna),
    ("WS", Country::Samoa),
    ("YT", Country::Mayotte),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_has_letters_of_its_own() {
        let letters: BTreeSet<&str> = COUNTRIES.iter().map(|(letters, _)| *letters).collect();
        let names: BTreeSet<&str> = COUNTRIES.iter().map(|(_, country)| country.name()).collect();
        assert_eq!(letters.len(), COUNTRIES.len());
        assert_eq!(names, Country::ALL.iter().map(|country| country.name()).collect());
    }
}

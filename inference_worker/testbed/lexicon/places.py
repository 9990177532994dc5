"""Countries with capital, language, continent and currency."""

from __future__ import annotations

from inference_worker.testbed.lexicon.parsing import pairs, rows

# Country, capital, language, continent.
COUNTRIES: tuple[tuple[str, ...], ...] = rows("""
France Paris French Europe|Germany Berlin German Europe|Italy Rome Italian Europe|Spain Madrid Spanish Europe
Portugal Lisbon Portuguese Europe|Poland Warsaw Polish Europe|Greece Athens Greek Europe|Sweden Stockholm Swedish Europe
Norway Oslo Norwegian Europe|Finland Helsinki Finnish Europe|Denmark Copenhagen Danish Europe
Hungary Budapest Hungarian Europe
Russia Moscow Russian Europe|Austria Vienna German Europe|England London English Europe|Ireland Dublin English Europe
Romania Bucharest Romanian Europe|Turkey Ankara Turkish Asia|Japan Tokyo Japanese Asia|China Beijing Chinese Asia
Thailand Bangkok Thai Asia|Vietnam Hanoi Vietnamese Asia|Iran Tehran Persian Asia|Iraq Baghdad Arabic Asia
Korea Seoul Korean Asia|Syria Damascus Arabic Asia|Egypt Cairo Arabic Africa|Kenya Nairobi Swahili Africa
Tunisia Tunis Arabic Africa|Angola Luanda Portuguese Africa|Senegal Dakar French Africa|Ghana Accra English Africa
Peru Lima Spanish America|Chile Santiago Spanish America|Cuba Havana Spanish America|Canada Ottawa English America
Colombia Bogota Spanish America|Venezuela Caracas Spanish America|Uruguay Montevideo Spanish America
Jamaica Kingston English America
""")

CAPITALS: dict[str, str] = {country: capital for country, capital, _, _ in COUNTRIES}
CAPITAL_OF: dict[str, str] = {capital: country for country, capital in CAPITALS.items()}
LANGUAGES: dict[str, str] = {country: language for country, _, language, _ in COUNTRIES}
CONTINENTS: dict[str, str] = {country: continent for country, _, _, continent in COUNTRIES}

CURRENCIES: dict[str, str] = dict(
    pairs("""
Japan yen|China yuan|Russia ruble|Poland zloty|Hungary forint|Thailand baht|Vietnam dong|Sweden krona|Norway krone
Denmark krone|Turkey lira|Korea won|Peru sol|France euro|Germany euro|Italy euro|Spain euro|Portugal euro|Greece euro
Finland euro|Austria euro|Ireland euro|England pound|Egypt pound|Syria pound|Canada dollar|Jamaica dollar
Kenya shilling|Tunisia dinar|Iraq dinar|Iran rial|Angola kwanza|Ghana cedi|Senegal franc|Chile peso|Cuba peso
Colombia peso|Uruguay peso|Venezuela bolivar|Romania leu
""")
)

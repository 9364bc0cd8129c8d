"""Words by which languages and scripts are known: to tell one by, and to see how a tokenizer cuts it."""

from __future__ import annotations

from dataclasses import dataclass

ENGLISH = "English"


@dataclass(frozen=True)
class Script:
    """Ordinary words in a script. A tokenizer that was made for it cuts them into `most` pieces a letter or fewer."""

    name: str
    words: str
    most: float = 0.65


SCRIPTS = {
    "CYRILLIC": Script(
        "Cyrillic letters",
        "сегодня хорошая погода когда придёт поезд пожалуйста напишите письмо человек работа",
    ),
    "GREEK": Script(
        "Greek letters",
        "σήμερα είναι καλός καιρός πότε έρχεται τρένο παρακαλώ γράψτε γράμμα άνθρωπος εργασία",
    ),
    "ARABIC": Script(
        "Arabic letters",
        "اليوم الطقس جميل متى يصل القطار من فضلك اكتب رسالة الكتاب العمل المدينة",
    ),
    "HEBREW": Script(
        "Hebrew letters",
        "היום מזג האוויר יפה מתי מגיעה הרכבת בבקשה כתוב מכתב ספר עבודה",
    ),
    "DEVANAGARI": Script(
        "Devanagari letters",
        "आज मौसम अच्छा है कृपया पत्र लिखें किताब काम शहर समय",
    ),
    "BENGALI": Script(
        "Bengali letters",
        "আজ আবহাওয়া ভালো অনুগ্রহ করে চিঠি লিখুন বই কাজ শহর",
    ),
    "GURMUKHI": Script(
        "Gurmukhi letters",
        "ਅੱਜ ਮੌਸਮ ਚੰਗਾ ਹੈ ਕਿਰਪਾ ਕਰਕੇ ਚਿੱਠੀ ਲਿਖੋ ਕਿਤਾਬ ਕੰਮ",
    ),
    "GUJARATI": Script(
        "Gujarati letters",
        "આજે હવામાન સારું છે કૃપા કરીને પત્ર લખો પુસ્તક કામ",
    ),
    "TAMIL": Script(
        "Tamil letters",
        "இன்று வானிலை நல்ல தயவு செய்து கடிதம் எழுதவும் புத்தகம் வேலை",
    ),
    "TELUGU": Script(
        "Telugu letters",
        "ఈరోజు వాతావరణం బాగుంది దయచేసి ఉత్తరం రాయండి పుస్తకం పని",
    ),
    "KANNADA": Script(
        "Kannada letters",
        "ಇಂದು ಹವಾಮಾನ ಚೆನ್ನಾಗಿದೆ ದಯವಿಟ್ಟು ಪತ್ರ ಬರೆಯಿರಿ ಪುಸ್ತಕ ಕೆಲಸ",
    ),
    "MALAYALAM": Script(
        "Malayalam letters",
        "ഇന്ന് കാലാവസ്ഥ നല്ലതാണ് ദയവായി കത്ത് എഴുതുക പുസ്തകം ജോലി",
    ),
    "THAI": Script(
        "Thai letters",
        "วันนี้ อากาศ ดี กรุณา เขียน จดหมาย หนังสือ ทำงาน เมือง เวลา",
    ),
    "LAO": Script(
        "Lao letters",
        "ມື້ນີ້ ອາກາດ ດີ ກະລຸນາ ຂຽນ ຈົດໝາຍ ປຶ້ມ ວຽກ",
    ),
    "KHMER": Script(
        "Khmer letters",
        "ថ្ងៃនេះ អាកាសធាតុ ល្អ សូម សរសេរ សំបុត្រ សៀវភៅ ការងារ",
    ),
    "MYANMAR": Script(
        "Burmese letters",
        "ယနေ့ ရာသီဥတု ကောင်း ကျေးဇူးပြု စာ ရေး စာအုပ် အလုပ်",
    ),
    "SINHALA": Script(
        "Sinhala letters",
        "අද කාලගුණය හොඳයි කරුණාකර ලිපිය ලියන්න පොත වැඩ",
    ),
    "ETHIOPIC": Script(
        "Ethiopic letters",
        "ዛሬ አየሩ ጥሩ ነው እባክዎ ደብዳቤ ይጻፉ መጽሐፍ ሥራ",
    ),
    "GEORGIAN": Script(
        "Georgian letters",
        "დღეს კარგი ამინდია გთხოვთ წერილი დაწეროთ წიგნი მუშაობა",
    ),
    "ARMENIAN": Script(
        "Armenian letters",
        "այսօր եղանակը լավ է խնդրում եմ նամակ գրեք գիրք աշխատանք",
    ),
    "HANGUL": Script(
        "Korean",
        "오늘 날씨가 좋습니다 기차는 언제 도착합니까 편지를 써 주세요 사람 일",
        1.0,
    ),
    "KANA": Script(
        "Japanese",
        "ください ありがとう ございます どこですか コンピュータ テレビ について これから",
        0.8,
    ),
    "CJK": Script(
        "Chinese",
        "今天天气很好 请问火车什么时候到达 麻烦您写一封信给我们 解释这个问题 选择正确答案",
        1.0,
    ),
}
"""By the first word of a letter's name in Unicode."""

FUNCTION_WORDS = {
    ENGLISH: (
        "the a an and or of to in for with that this what which how why when where is are was be do "
        "does did can could should would will my your our their it its i you we they he she from by "
        "at as on if not please have has all any me than then there about into most each following"
    ),
    "German": (
        "der die das und ist nicht ein eine einen einem einer ich du sie wir mit für auf den dem des "
        "zu von wie was wird bitte auch oder sich im am bei nach aus mir mein meine sind kann diese "
        "diesen dieser dieses ins zum zur wenn dass warum welche welcher"
    ),
    "French": (
        "a le la les des un une et est je tu il nous vous pour dans sur avec que qui ce cette pas mon "
        "ma mes du de au aux en plus ou quel quelle comment moi son sa à elle ne cet notre votre leur "
        "pourquoi"
    ),
    "Spanish": (
        "a el la los las un una y es no que de del para por con en mi su se lo al como más qué cómo "
        "cuál está este esta o me son hay puede"
    ),
    "Portuguese": (
        "a os um uma e é não que de do da dos das para por com em no na meu minha se como mais qual "
        "está este esta ou ao você são pode"
    ),
    "Italian": (
        "a il lo la gli le un una e è non che di del della per con in mi si come più quale questo "
        "questa o al sono nel alla dei delle ho può"
    ),
    "Dutch": (
        "de het een en is niet ik je wij met voor op van te dat die wat hoe naar mijn zijn er ook of "
        "aan bij om uit deze wordt kan"
    ),
    "Swedish": ("och att det en ett är inte jag du vi med för på av som den till hur vad min kan från om har ska mig"),
    "Danish": ("og at det en et er ikke jeg du vi med for på af som den til hvordan hvad min kan fra om har skal mig"),
    "Polish": "i na nie się to jest z do że jak co od za czy dla mi mój po ten ta przez są który proszę o",
    "Czech": ("a v na se je to z do že jak co od za pro mi můj po ten ta která jsou který prosím o jsem není nebo"),
    "Romanian": "și în de la este nu un o cu pe pentru ce cum din mai care că să meu sunt al ale sau vă",
    "Hungarian": "a az és egy nem is hogy van ez mi meg kell vagy mint csak milyen hogyan kérem ki el nekem",
    "Finnish": ("ja on ei se että en mitä miten kun tai ovat mutta minun tämä joka niin ole olen mikä kuinka voi"),
    "Turkish": ("ve bir bu da de için ile ne nasıl mi ben çok daha olan gibi var değil lütfen hangi en kadar bana"),
    "Indonesian": (
        "yang dan di ini itu dengan untuk tidak dari ke adalah saya anda apa bagaimana pada akan bisa tolong atau dalam"
    ),
    "Vietnamese": "là và của có cho không được trong một các này với những tôi bạn như thế nào để hãy gì đến",
}
"""The commonest words of languages in Latin letters; those that English has too speak for neither."""

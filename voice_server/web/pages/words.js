/* Every word the pages show, in each language, and how numbers are written in it.
 *
 * The language is the one chosen by hand, else that of the lesson, else the browser's.
 * A missing word shows its key: visible in a test, and harmless to a reader. */

const ENGLISH = {
  "app.name": "Voice tutor",
  "skip": "Skip to the content",
  "interface.language": "Language of this page",

  "landing.title": "Talk. Be heard. Learn.",
  "landing.lead":
    "A tutor who listens while you speak, answers in a natural conversation, and lets you interrupt.",
  "landing.action": "Talk to the tutor",
  "landing.how": "How it works",
  "landing.step1.title": "Say anything",
  "landing.step1.text": "Press one button and speak. Your words appear as you say them.",
  "landing.step2.title": "Listen, or break in",
  "landing.step2.text":
    "Each word is marked as it is spoken. Start talking and the tutor stops to listen.",
  "landing.step3.title": "See the bill",
  "landing.step3.text": "You pay by the minute. The exact bill appears when you hang up.",
  "landing.needs": "You need a microphone. Headphones make it better.",

  "wallet.price": "{price} a minute",
  "wallet.free": "{minutes} free",
  "wallet.money": "{money} on your balance",
  "wallet.balance": "Balance",
  "wallet.unknown": "Your balance cannot be shown right now.",
  "wallet.empty": "Your balance is empty.",

  "ready.title": "Ready when you are",
  "ready.text": "Press the button, allow the microphone and say hello.",
  "ready.start": "Start the call",
  "ready.silent": "Continue without a microphone",

  "choice.title": "Lesson settings",
  "choice.language": "Lesson language",
  "choice.voice": "Tutor’s voice",
  "choice.voice.default": "Standard voice",
  "choice.recogniser": "Recogniser",
  "choice.recogniser.auto": "Best available",
  "choice.speed": "Speaking speed",
  "choice.speed.slow": "Slow",
  "choice.speed.usual": "Usual",
  "choice.speed.fast": "Fast",
  "choice.during": "A change holds from the tutor’s next answer.",

  "state.microphone": "Waiting for your microphone…",
  "state.connecting": "Connecting…",
  "state.listening": "Listening",
  "state.hearing": "I hear you",
  "state.thinking": "Thinking…",
  "state.speaking": "Tutor is speaking",
  "state.muted": "Microphone is off",
  "state.waiting": "Hold to talk",
  "state.writing": "Write to the tutor",
  "state.ending": "Hanging up…",
  "state.unstable": "Connection is weak, trying to restore it…",

  "talk.you": "You",
  "talk.tutor": "Tutor",
  "talk.empty": "What you and the tutor say will appear here.",
  "talk.transcript": "Conversation",
  "talk.interrupted": "interrupted here",
  "talk.failed": "This answer failed: {reason}",
  "talk.unheard": "I could not make out the words.",
  "talk.latest": "Latest",
  "talk.level.you": "Your microphone",
  "talk.level.tutor": "Tutor’s voice",
  "talk.time": "Length of the call",
  "talk.mute": "Mute",
  "talk.mute.long": "Mute the microphone",
  "talk.stop": "Stop the tutor",
  "talk.stop.short": "Stop",
  "talk.hangup": "Hang up",
  "talk.push": "Push to talk",
  "talk.hold": "Hold to talk",
  "talk.hold.now": "Listening… let go to send",
  "talk.hold.hint": "or hold the space bar",
  "talk.hold.short": "Hold the button while you speak, then let go.",
  "talk.type": "Write to the tutor",
  "talk.send": "Send",
  "talk.typing.only": "No microphone: write, and the tutor answers aloud.",
  "talk.sound": "Your browser is holding the sound back.",
  "talk.sound.action": "Turn the sound on",
  "talk.lostmic": "The microphone was disconnected. You can go on in writing.",
  "talk.started": "The call has begun. The tutor can hear you.",

  "ending.soon": "The call ends in {time}: your balance is running out.",

  "latency.title": "Last answer",
  "latency.none": "The wait for each answer is shown here, part by part.",
  "latency.total": "from your last word to the answer",
  "latency.summary": "Answered after {time}",
  "latency.endpointing_ms": "Making sure you finished",
  "latency.transcript_ms": "Writing down your words",
  "latency.first_token_ms": "Thinking",
  "latency.first_sentence_ms": "First sentence",
  "latency.first_audio_ms": "Voice",
  "latency.first_packet_ms": "Sending",

  "engines.title": "At work in this call",
  "engines.hears": "Hears",
  "engines.answers": "Answers",
  "engines.speaks": "Speaks",
  "engines.nobody": "nobody yet",
  "engine.sphinx": "Built-in recogniser",
  "engine.whisper": "Whisper",
  "engine.tutor": "Scripted lesson",
  "engine.espeak": "eSpeak NG",
  "engine.scripted": "Stand-in for tests",

  "notice.deaf":
    "This language can be spoken but not heard yet: recognition needs Whisper’s weights (voice-server models pull base). You can write to the tutor.",
  "notice.sphinx":
    "The built-in recogniser mishears a lot: speak slowly and clearly. For better ears: voice-server models pull base.",

  "bill.title": "Call ended",
  "bill.pending": "The bill is being made…",
  "bill.missing": "The bill is not ready yet. It will be in your wallet.",
  "bill.retry": "Look again",
  "bill.none": "Nothing was charged.",
  "bill.duration": "You talked for",
  "bill.minutes": "Billed minutes",
  "bill.price": "Price",
  "bill.free": "Paid with free minutes",
  "bill.balance": "Left on your balance",
  "bill.total": "Charged to you",
  "bill.id": "Call",
  "bill.again": "Call again",
  "bill.home": "To the start page",

  "reason.hung_up": "You hung up.",
  "reason.goodbye": "The tutor said goodbye.",
  "reason.idle": "It was quiet for a long time, so the call was ended.",
  "reason.allowance_spent": "The minutes on your balance were used up.",
  "reason.link_lost": "The connection was lost.",
  "reason.never_connected": "The connection was never made.",
  "reason.draining": "The server is restarting.",
  "reason.abandoned": "The server had to stop the call.",
  "reason.unheard_fault": "Something went wrong on the server.",

  "error.again": "Try again",
  "error.dismiss": "Close",
  "error.denied.title": "The microphone is blocked",
  "error.denied.text":
    "Allow the microphone for this site in the address bar or in your system’s settings, then try again.",
  "error.missing.title": "No microphone found",
  "error.missing.text": "Plug one in or turn it on, then try again.",
  "error.in_use.title": "The microphone is busy",
  "error.in_use.text": "Another program or tab is using it. Close that one, then try again.",
  "error.insecure.title": "This address is not secure",
  "error.insecure.text":
    "Browsers give the microphone only to https:// pages and to localhost. Open this page over https, or on the server’s own machine as http://localhost.",
  "error.unsupported.title": "This browser cannot make calls",
  "error.unsupported.text": "Use a current Chrome, Edge, Firefox or Safari.",
  "error.unreachable.title": "The server does not answer",
  "error.unreachable.text": "Check your internet connection, then try again.",
  "error.insufficient_funds.title": "Not enough on your balance",
  "error.insufficient_funds.text":
    "A call needs at least one minute. Add money or minutes to your balance, then call again.",
  "error.too_many_calls.title": "You already have a call",
  "error.too_many_calls.text": "Hang up the other call, or wait a little.",
  "error.busy.title": "All tutors are busy",
  "error.busy.text": "The server takes no more calls at this moment.",
  "error.wait": "You can try again in {time}.",
  "error.unauthorized.title": "This server asks for a key",
  "error.unauthorized.text": "Enter the access key you were given.",
  "error.key": "Access key",
  "error.key.use": "Use this key",
  "error.ice.title": "Sound cannot get through",
  "error.ice.text":
    "A firewall or VPN between you and the server blocks the call. Try another network; if it is your server, configure a TURN relay.",
  "error.lost.title": "The connection was lost",
  "error.lost.text": "The call was ended. Only the minutes until then are billed.",
  "error.refused.title": "The call could not be made",
  "error.refused.text": "The server said: {reason}",
  "error.unexpected.title": "Something went wrong",
  "error.unexpected.text": "Please try again. Details: {reason}",
  "error.item": "Not sent: {reason}",

  "unit.seconds": "{n}\u00a0s",
  "unit.milliseconds": "{n}\u00a0ms",
  "unit.minutes.one": "{n}\u00a0minute",
  "unit.minutes.other": "{n}\u00a0minutes",
};

const RUSSIAN = {
  "app.name": "Голосовой репетитор",
  "skip": "К содержанию",
  "interface.language": "Язык страницы",

  "landing.title": "Говорите. Вас слышат.",
  "landing.lead":
    "Репетитор слушает, пока вы говорите, отвечает живой речью и умолкает, когда вы его перебиваете.",
  "landing.action": "Начать разговор",
  "landing.how": "Как это устроено",
  "landing.step1.title": "Говорите",
  "landing.step1.text": "Нажмите одну кнопку и говорите. Слова появляются на экране сразу.",
  "landing.step2.title": "Слушайте или перебивайте",
  "landing.step2.text":
    "Каждое слово отмечается, когда звучит. Начните говорить — репетитор остановится.",
  "landing.step3.title": "Смотрите счёт",
  "landing.step3.text": "Оплата по минутам. Точный счёт виден сразу после звонка.",
  "landing.needs": "Нужен микрофон. С наушниками будет лучше.",

  "wallet.price": "{price} за минуту",
  "wallet.free": "{minutes} бесплатно",
  "wallet.money": "{money} на балансе",
  "wallet.balance": "Баланс",
  "wallet.unknown": "Баланс сейчас показать не удалось.",
  "wallet.empty": "На балансе пусто.",

  "ready.title": "Можно начинать",
  "ready.text": "Нажмите кнопку, разрешите микрофон и поздоровайтесь.",
  "ready.start": "Начать звонок",
  "ready.silent": "Продолжить без микрофона",

  "choice.title": "Настройки урока",
  "choice.language": "Язык урока",
  "choice.voice": "Голос репетитора",
  "choice.voice.default": "Обычный голос",
  "choice.recogniser": "Распознавание",
  "choice.recogniser.auto": "Лучшее из доступных",
  "choice.speed": "Скорость речи",
  "choice.speed.slow": "Медленно",
  "choice.speed.usual": "Обычно",
  "choice.speed.fast": "Быстро",
  "choice.during": "Новое действует со следующего ответа репетитора.",

  "state.microphone": "Жду разрешения на микрофон…",
  "state.connecting": "Соединяю…",
  "state.listening": "Слушаю",
  "state.hearing": "Слышу вас",
  "state.thinking": "Думаю…",
  "state.speaking": "Репетитор говорит",
  "state.muted": "Микрофон выключен",
  "state.waiting": "Удерживайте, чтобы говорить",
  "state.writing": "Пишите репетитору",
  "state.ending": "Завершаю звонок…",
  "state.unstable": "Связь слабая, восстанавливаю…",

  "talk.you": "Вы",
  "talk.tutor": "Репетитор",
  "talk.empty": "Здесь появится всё, что скажете вы и репетитор.",
  "talk.transcript": "Разговор",
  "talk.interrupted": "здесь вы перебили",
  "talk.failed": "Ответ не получился: {reason}",
  "talk.unheard": "Слова разобрать не удалось.",
  "talk.latest": "К последнему",
  "talk.level.you": "Ваш микрофон",
  "talk.level.tutor": "Голос репетитора",
  "talk.time": "Длительность звонка",
  "talk.mute": "Без звука",
  "talk.mute.long": "Без звука: выключить микрофон",
  "talk.stop": "Остановить репетитора",
  "talk.stop.short": "Стоп",
  "talk.hangup": "Завершить",
  "talk.push": "По кнопке",
  "talk.hold": "Удерживайте и говорите",
  "talk.hold.now": "Слушаю… отпустите, чтобы отправить",
  "talk.hold.hint": "или удерживайте пробел",
  "talk.hold.short": "Удерживайте кнопку, пока говорите, затем отпустите.",
  "talk.type": "Написать репетитору",
  "talk.send": "Отправить",
  "talk.typing.only": "Без микрофона: пишите, репетитор ответит голосом.",
  "talk.sound": "Браузер не включил звук.",
  "talk.sound.action": "Включить звук",
  "talk.lostmic": "Микрофон отключился. Можно продолжать письменно.",
  "talk.started": "Звонок начался. Репетитор вас слышит.",

  "ending.soon": "Звонок закончится через {time}: баланс на исходе.",

  "latency.title": "Последний ответ",
  "latency.none": "Здесь видно, из чего складывается ожидание ответа.",
  "latency.total": "от вашего последнего слова до ответа",
  "latency.summary": "Ответ через {time}",
  "latency.endpointing_ms": "Убеждаюсь, что вы договорили",
  "latency.transcript_ms": "Записываю ваши слова",
  "latency.first_token_ms": "Думаю",
  "latency.first_sentence_ms": "Первая фраза",
  "latency.first_audio_ms": "Голос",
  "latency.first_packet_ms": "Отправка",

  "engines.title": "Работают в этом звонке",
  "engines.hears": "Слышит",
  "engines.answers": "Отвечает",
  "engines.speaks": "Говорит",
  "engines.nobody": "пока никто",
  "engine.sphinx": "Встроенное распознавание",
  "engine.whisper": "Whisper",
  "engine.tutor": "Готовый урок",
  "engine.espeak": "eSpeak NG",
  "engine.scripted": "Заглушка для проверок",

  "notice.deaf":
    "На этом языке репетитор говорит, но пока не слышит: для распознавания нужна модель Whisper (voice-server models pull base). Репетитору можно писать.",
  "notice.sphinx":
    "Встроенное распознавание часто ошибается: говорите медленно и чётко. Точнее будет с моделью: voice-server models pull base.",

  "bill.title": "Звонок завершён",
  "bill.pending": "Готовлю счёт…",
  "bill.missing": "Счёт ещё не готов. Он появится в вашем кошельке.",
  "bill.retry": "Проверить снова",
  "bill.none": "С вас ничего не списано.",
  "bill.duration": "Вы говорили",
  "bill.minutes": "Минут к оплате",
  "bill.price": "Цена",
  "bill.free": "Оплачено бесплатными минутами",
  "bill.balance": "Осталось на балансе",
  "bill.total": "Списано с вас",
  "bill.id": "Звонок",
  "bill.again": "Позвонить ещё",
  "bill.home": "На главную",

  "reason.hung_up": "Вы завершили звонок.",
  "reason.goodbye": "Репетитор попрощался.",
  "reason.idle": "Долго было тихо, поэтому звонок завершён.",
  "reason.allowance_spent": "Минуты на балансе закончились.",
  "reason.link_lost": "Связь прервалась.",
  "reason.never_connected": "Соединение не установилось.",
  "reason.draining": "Сервер перезапускается.",
  "reason.abandoned": "Серверу пришлось прервать звонок.",
  "reason.unheard_fault": "На сервере что-то пошло не так.",

  "error.again": "Повторить",
  "error.dismiss": "Закрыть",
  "error.denied.title": "Микрофон запрещён",
  "error.denied.text":
    "Разрешите этому сайту микрофон в адресной строке или в настройках системы и повторите.",
  "error.missing.title": "Микрофон не найден",
  "error.missing.text": "Подключите или включите микрофон и повторите.",
  "error.in_use.title": "Микрофон занят",
  "error.in_use.text": "Его использует другая программа или вкладка. Закройте её и повторите.",
  "error.insecure.title": "Небезопасный адрес",
  "error.insecure.text":
    "Браузеры дают микрофон только страницам https:// и localhost. Откройте страницу по https или на самой машине сервера как http://localhost.",
  "error.unsupported.title": "Этот браузер не умеет звонить",
  "error.unsupported.text": "Откройте страницу в свежем Chrome, Edge, Firefox или Safari.",
  "error.unreachable.title": "Сервер не отвечает",
  "error.unreachable.text": "Проверьте подключение к интернету и повторите.",
  "error.insufficient_funds.title": "Не хватает средств",
  "error.insufficient_funds.text":
    "Для звонка нужна хотя бы одна минута. Пополните баланс и позвоните снова.",
  "error.too_many_calls.title": "У вас уже идёт звонок",
  "error.too_many_calls.text": "Завершите другой звонок или немного подождите.",
  "error.busy.title": "Все репетиторы заняты",
  "error.busy.text": "Сейчас сервер не принимает новые звонки.",
  "error.wait": "Повторить можно через {time}.",
  "error.unauthorized.title": "Сервер просит ключ",
  "error.unauthorized.text": "Введите ключ доступа, который вам дали.",
  "error.key": "Ключ доступа",
  "error.key.use": "Войти с ключом",
  "error.ice.title": "Звук не проходит",
  "error.ice.text":
    "Звонку мешает сетевой экран или VPN между вами и сервером. Попробуйте другую сеть; если сервер ваш, настройте TURN.",
  "error.lost.title": "Связь прервалась",
  "error.lost.text": "Звонок завершён. В счёт войдут только минуты до обрыва.",
  "error.refused.title": "Позвонить не удалось",
  "error.refused.text": "Ответ сервера: {reason}",
  "error.unexpected.title": "Что-то пошло не так",
  "error.unexpected.text": "Попробуйте ещё раз. Подробности: {reason}",
  "error.item": "Не отправлено: {reason}",

  "unit.seconds": "{n}\u00a0с",
  "unit.milliseconds": "{n}\u00a0мс",
  "unit.minutes.one": "{n}\u00a0минута",
  "unit.minutes.few": "{n}\u00a0минуты",
  "unit.minutes.many": "{n}\u00a0минут",
  "unit.minutes.other": "{n}\u00a0минуты",
};

const WORDS = { en: ENGLISH, ru: RUSSIAN };
export const LANGUAGES = Object.keys(WORDS);

let current = "en";

/** The language the pages are written in now. */
export const language = () => current;

function known(tag) {
  const short = String(tag ?? "").toLowerCase().split("-")[0];
  return LANGUAGES.includes(short) ? short : null;
}

/** The first of these tags that the pages speak; English when none is. */
export function preferred(...tags) {
  return tags.map(known).find(Boolean) ?? "en";
}

/** The words for `key`, with each {name} replaced. */
export function say(key, values = {}) {
  const words = WORDS[current][key] ?? ENGLISH[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Whether there are words for `key`. */
export const has = (key) => key in ENGLISH;

/** "1 minute", "5 минут": the number with its unit in the right form. */
export function minutes(n) {
  const form = new Intl.PluralRules(current).select(n);
  const key = `unit.minutes.${form}`;
  return say(has(key) || key in WORDS[current] ? key : "unit.minutes.other", { n: number(n) });
}

export const number = (n, options = {}) => new Intl.NumberFormat(current, options).format(n);

/** A wait for reading: whole milliseconds below a second, else seconds with two digits. */
export function wait(ms) {
  if (ms < 1000) return say("unit.milliseconds", { n: number(Math.round(ms)) });
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return say("unit.seconds", { n: number(ms / 1000, digits) });
}

/** A length of time on a clock: 1:04, 1:00:09. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  const hours = Math.floor(whole / 3600);
  const padded = parts.map((n) => String(n).padStart(2, "0"));
  return hours ? `${hours}:${padded.join(":")}` : `${parts[0]}:${padded[1]}`;
}

/** An amount in minor units, as money: 500 and "RUB" are "5,00 ₽" in Russian. */
export function money(minor, currency) {
  const format = new Intl.NumberFormat(current, {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
  });
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** The name of a language, in the language of the page. */
export function languageName(tag) {
  try {
    const name = new Intl.DisplayNames([current], { type: "language" }).of(tag) ?? tag;
    return name.charAt(0).toLocaleUpperCase(current) + name.slice(1);
  } catch {
    return tag; // Not a language tag: shown as it came.
  }
}

const ATTRIBUTES = { text: null, label: "aria-label", title: "title", placeholder: "placeholder" };

/** Write the page anew: every element that names its words in data-text, data-label and so on. */
export function translate(to, root = document) {
  current = known(to) ?? "en";
  document.documentElement.lang = current;
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of root.querySelectorAll(`[data-${name}]`)) {
      const words = say(element.dataset[name]);
      if (attribute) element.setAttribute(attribute, words);
      else element.textContent = words;
    }
  }
}

// The line below an answer that is being written: what is happening, and for how long.

const WORDS = {
  waiting: "Waiting for the model",
  queued: "In the queue",
  loading: "Loading the model",
  reading: "Reading the prompt",
  thinking: "Thinking",
  writing: "Writing",
  ended: "Done",
};
const DETAILS = {
  queued: ({ position }) => (position > 1 ? `number ${position}` : "next"),
  reading: ({ done, total }) => (total ? `${Math.floor((100 * (done ?? 0)) / total)} %` : ""),
};
const WITH_SPEED = new Set(["thinking", "writing"]);

/** A phase in words, without anything that changes as it goes on. */
export function phaseWords(phase) {
  return WORDS[phase.name];
}

export class PhaseLine {
  #words;
  #clock;
  #began;
  #facts;
  #timer;

  constructor(foot) {
    this.#words = foot.querySelector(".phase-words");
    this.#clock = foot.querySelector(".phase-clock");
    this.#timer = setInterval(() => this.#tick(), 1000);
    this.show({ name: "waiting" }, { seconds: 0 });
  }

  show(phase, stats) {
    this.#began = Date.now() - stats.seconds * 1000;
    this.#facts = WITH_SPEED.has(phase.name) ? speed(stats) : [DETAILS[phase.name]?.(phase)];
    this.#words.textContent = phaseWords(phase);
    this.#tick();
  }

  close() {
    clearInterval(this.#timer);
  }

  #tick() {
    const seconds = Math.max(0, Math.floor((Date.now() - this.#began) / 1000));
    this.#clock.textContent = [...this.#facts, `${seconds} s`].filter(Boolean).join(" · ");
  }
}

function speed({ tokens, rate }) {
  return [tokens && `${tokens} tokens`, rate && `${rate.toFixed(1)} tok/s`];
}

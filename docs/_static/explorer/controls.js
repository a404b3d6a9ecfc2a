/* A slider and a field for each label of the emulator. */
(function (explorer) {
  "use strict";

  const { beyond, lowest, number, possible } = explorer.labels;

  function element(name, attributes = {}, ...children) {
    const out = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
    out.append(...children);
    return out;
  }

  /* Fills `parent`, and returns {show(values)}. onChange(name, value) is called when a user changes one. */
  function labels(parent, model, onChange) {
    const rows = model.labels.map((label) => row(label, onChange));
    parent.replaceChildren(...rows.map((one) => one.element));
    return { show: (values) => rows.forEach((one) => one.show(values, model)) };
  }

  function row(label, onChange) {
    const id = `rvse-label-${label.name}`;
    const step = String(label.step);
    const name = element("label", { for: `${id}-field`, class: "rvse-name" }, `${label.title} `);
    name.insertAdjacentHTML("beforeend", label.symbol); // of tools/explorer.py, not of a user
    const field = element("input", { type: "number", id: `${id}-field`, step, "aria-describedby": `${id}-range` });
    const unit = element("span", { class: "rvse-unit" }, label.unit);
    const slider = element("input", { type: "range", id: `${id}-slider`, min: label.lower, max: label.upper, step, "aria-label": label.title });
    const range = element("div", { id: `${id}-range`, class: "rvse-range" });
    const out = element("div", { class: "rvse-label", title: label.description }, name, field, unit, slider, range);

    slider.addEventListener("input", () => onChange(label.name, Number(slider.value)));
    field.addEventListener("input", () => {
      const value = field.value === "" ? NaN : Number(field.value);
      const good = possible(label, value);
      field.setAttribute("aria-invalid", String(!good));
      out.classList.toggle("rvse-outside", !good);
      if (good) onChange(label.name, value);
      else range.textContent = label.transform === "log" ? "a number above 0 is needed" : "a number is needed";
    });
    field.addEventListener("change", () => field.value === "" && onChange(label.name, label.start));

    const show = (values, model) => {
      const value = values[label.name];
      const words = beyond(model, label, values);
      if (Number(field.value) !== value || field.value === "") field.value = number(value);
      field.removeAttribute("aria-invalid");
      slider.value = value;
      slider.setAttribute("aria-valuetext", `${number(value)} ${label.unit}`.trim());
      out.classList.toggle("rvse-outside", Boolean(words));
      range.textContent = words ? `outside: ${words}` : `${shortly(lowest(model, label, values))} to ${shortly(label.upper)}`;
    };
    return { element: out, show };
  }

  const shortly = (x) => number(Math.round(x * 1000) / 1000).replace("-", "−");

  explorer.controls = { element, labels };
})((window.RvsExplorer = window.RvsExplorer || {}));

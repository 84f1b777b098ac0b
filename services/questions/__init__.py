"""Questions of workers to people, on boards that allow them, and the answers."""

from services.questions.commands import answer_question, ask_question
from services.questions.queries import (
    QuestionDetail,
    build_listed_query,
    get_question,
    list_questions,
    open_rows_query,
)
